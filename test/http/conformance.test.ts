import { readFileSync } from 'node:fs'
import type { FastifyInstance } from 'fastify'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { fold } from '../../src/rules/fold.js'
import { bearer, keys, listenOnLoopback, openApi } from '../_support/api.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { CHECKPOINT, openTestStore } from '../_support/store.js'

/**
 * The content of conformance/service.json: rows of a database, and the responses of the API for these rows. In the
 * responses, `<cursor>` stands for a cursor.
 */
interface ServiceVector {
  stored: {
    now: string
    as_of: string
    forget_key: string
    logouts: { user_id: string | null; session_id: string | null; at: string }[]
    floor_at: string
    forget: string[]
  }
  page: { changes: object[] }
  first_page: { limit: number; more: boolean; as_of: null; lag_ms: null }
  stream: string[]
  stream_in_columns: string[]
  reset: string
  gone: { status: number; error: string }
}

const vector = JSON.parse(readFileSync('conformance/service.json', 'utf8')) as ServiceVector
const now = Date.parse(vector.stored.now)
const headers = bearer(keys.subscriber)

let database: TestDatabase
let store: Awaited<ReturnType<typeof openTestStore>>
let app: FastifyInstance
beforeEach(async () => {
  database = await createTestDatabase()
  store = await openTestStore(database, { now: () => now })
  await store.setFirstCheckpoint(CHECKPOINT, null)
  await storeAll(vector.stored)
  app = await openApi(store)
})
afterEach(async () => {
  await app.close()
  await store.close()
  await database.drop()
})

/** Stores the logouts, the floor and the progress of service.json, and forgets its users. */
async function storeAll({ forget_key, logouts, floor_at, forget, as_of }: ServiceVector['stored']) {
  await database.query('UPDATE tenant SET forget_key = $1::uuid', [forget_key])
  for (const { user_id: userId, session_id: sessionId, at } of logouts) {
    const event = { logId: 'L', type: 'slo', at: Date.parse(at), userId, sessionId }
    await store.storeBatch({ ...fold([event]), unattributable: [] })
  }
  await store.raiseFloor(Date.parse(floor_at))
  for (const userId of forget) await store.forget(userId)
  await store.storeCaughtUp(CHECKPOINT, Date.parse(as_of))
}

const get = async (query = '') => {
  const response = await app.inject({ url: `/v1/changes${query}`, headers })
  return { status: response.statusCode, body: response.json() }
}

/** Reads the stream until it contains `freshnessCount` freshness events. */
async function readStream(query: string, freshnessCount = 1): Promise<string> {
  const url = await listenOnLoopback(app)
  const abort = new AbortController()
  const response = await fetch(`${url}/v1/changes${query}`, {
    headers: { ...headers, accept: 'text/event-stream' },
    signal: abort.signal,
  })
  let text = ''
  const decoder = new TextDecoder()
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk, { stream: true })
    if (text.split('event: freshness').length > freshnessCount && text.endsWith('\n\n')) break
  }
  abort.abort()
  return text
}

test('a page of the change feed equals the page of service.json', async () => {
  const { body } = await get()
  expect({ ...body, cursor: '<cursor>' }).toEqual(vector.page)
})

test('the first of two pages has no `as_of` and no `lag_ms`, and the second page contains the other changes', async () => {
  const { limit, ...expected } = vector.first_page
  const { body: firstPage } = await get(`?limit=${limit}`)
  expect(firstPage).toMatchObject(expected)
  const { body: nextPage } = await get(`?after=${firstPage.cursor}`)
  expect([...firstPage.changes, ...nextPage.changes]).toEqual(vector.page.changes)
})

test('the stream equals the stream of service.json, byte for byte', async () => {
  const { body } = await get()
  const expected = vector.stream.join('').replaceAll('<cursor>', body.cursor)
  expect(await readStream('')).toBe(expected)
})

test('the stream in columns equals that of service.json, byte for byte', async () => {
  const { body } = await get()
  const expected = vector.stream_in_columns.join('').replaceAll('<cursor>', body.cursor)
  expect(await readStream('?load=columns')).toBe(expected)
})

test('the stream after an unknown cursor contains the reset event of service.json before all rows', async () => {
  const { body } = await get()
  const [retry = '', ...events] = vector.stream
  const expected = [retry, vector.reset, ...events].join('').replaceAll('<cursor>', body.cursor)
  expect(await readStream('?after=unknown')).toBe(expected)
})

test('the API responds to a page request with an unknown cursor with the error of service.json', async () => {
  const { status, body } = await get('?after=unknown')
  expect({ status, error: body.error }).toEqual(vector.gone)
})
