import { expect, test } from 'vitest'
import { createActionApi, loadAction } from '../../src/simulator/run-action.js'

/** Runs the body of an Action. Returns its log lines and its custom claims. */
async function run(body: string) {
  const lines: string[] = []
  const code = `exports.onExecutePostLogin = async (event, api) => { ${body} }`
  const action = loadAction(code, { now: () => 42, onLogLine: (line) => void lines.push(line) })
  const { api, run } = createActionApi()
  await action({ user: { user_id: 'auth0|1' } }, api)
  return { lines, claims: run.accessToken }
}

test('an Action can log with every method of the console, and values are formatted as in Node.js', async () => {
  const methods = ['debug', 'error', 'info', 'log', 'warn']
  const calls = methods.map((method) => `console.${method}('%s:', '${method}', { a: 1 })`)
  const { lines } = await run(calls.join('\n'))
  expect(lines).toEqual(methods.map((method) => `${method}: { a: 1 }`))
})

test('an Action has the globals of Auth0’s runtimes and the given clock, but not the globals of this process', async () => {
  const { claims } = await run(`
    const body = new URLSearchParams({ id: btoa('a') }).toString()
    const { signal } = new AbortController()
    api.accessToken.setCustomClaim('body', Buffer.from(body).toString('hex'))
    api.accessToken.setCustomClaim('now', Date.now())
    api.accessToken.setCustomClaim('types', [typeof process, typeof require, typeof signal])
  `)
  expect(claims).toEqual({
    body: Buffer.from('id=YQ%3D%3D').toString('hex'),
    now: 42,
    types: ['undefined', 'undefined', 'object'],
  })
})

test('loadAction rejects code without a handler of the trigger, and the message names the missing export', () => {
  const load = () => loadAction('exports.other = 1', { now: Date.now, onLogLine: () => {} })
  expect(load).toThrow(/exports\.onExecutePostLogin/)
})
