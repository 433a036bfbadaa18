import { expect, test } from 'vitest'
import { type StartedSimulator, start } from './start.js'

// Programs in other processes control a simulator through this API: they write entries and cause faults.

/** Sends a request to the control API. */
function post({ fetch }: StartedSimulator, path: string, body: object): Promise<Response> {
  return fetch(`/simulator/${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
}

test('a request to `entries` writes an entry, even with a storage time in the past', async () => {
  const simulator = await start({ control: true })
  const date = '2026-03-01T10:00:00.000Z'
  const body = { type: 'slo', user_id: 'auth0|1', session_id: 'S1', date, stored_at: date }
  const response = await post(simulator, 'entries', body)
  expect(response.status).toBe(201)
  expect(await response.json()).toMatchObject({ stored_at: date, entry: { user_id: 'auth0|1' } })
  expect(simulator.tenant.entries()).toMatchObject([
    { type: 'slo', user_id: 'auth0|1', date, details: { session_id: 'S1' } },
  ])
})

test('a request to `faults` makes the following requests to the Logs API fail', async () => {
  const simulator = await start({ control: true })
  const { logs } = simulator
  const headers = { 'retry-after': '7' }
  expect((await post(simulator, 'faults', { status: 429, times: 1, headers })).status).toBe(204)
  expect((await post(simulator, 'faults', { status: 503 })).status).toBe(204)
  const limited = await logs()
  expect([limited.status, limited.headers.get('retry-after')]).toEqual([429, '7'])
  expect((await logs()).status).toBe(503)
  expect((await logs()).status).toBe(200)
})

test.each([
  ['entries', { user_id: 'auth0|1' }, 'type'],
  ['entries', { type: 'slo', date: 'yesterday' }, 'date'],
  ['faults', { status: 200 }, 'status'],
  ['faults', { status: 429, path: '/api/v2/logs?from=900' }, 'path'],
  ['faults', { status: 429, bogus: 1 }, 'bogus'],
  ['faults', { status: 500, headers: { 'a b': 'x' } }, 'headers'],
  ['faults', { status: 500, headers: { x: 'a\nb' } }, 'headers'],
])(
  'a request to `%s` with %j is refused, and the response names the field',
  async (path, body, field) => {
    const simulator = await start({ control: true })
    const response = await post(simulator, path, body)
    expect(response.status).toBe(400)
    expect(JSON.stringify(await response.json())).toContain(field)
  },
)

test.each(['constructor', '__proto__', 'unknown'])(
  'an entry of the unknown type %s is written with its type and its user',
  async (type) => {
    const simulator = await start({ control: true })
    const response = await post(simulator, 'entries', { type, user_id: 'auth0|1' })
    expect(response.status).toBe(201)
    expect(await response.json()).toMatchObject({ entry: { type, user_id: 'auth0|1' } })
  },
)

test('a simulator without `control` responds to requests of the control API with 404', async () => {
  const simulator = await start()
  expect((await post(simulator, 'entries', { type: 'slo' })).status).toBe(404)
})
