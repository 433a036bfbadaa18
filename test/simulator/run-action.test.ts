import assert from 'node:assert/strict'
import { expect, test } from 'vitest'
import { createActionApi, loadAction } from '../../src/simulator/run-action.js'

/** The time in milliseconds that `Date.now` returns in the Action. */
const NOW = 42

/** Runs an Action with this function body. Returns its log lines, and the claims that it adds to the access token. */
async function runAction(body: string) {
  const lines: string[] = []
  const code = `exports.onExecutePostLogin = async (event, api) => { ${body} }`
  const action = loadAction(code, { now: () => NOW, onLogLine: (line) => void lines.push(line) })
  const { api, run } = createActionApi()
  await action({ user: { user_id: 'auth0|1' } }, api)
  return { lines, claims: run.accessToken }
}

test('an Action can log with each method of the console, and values are formatted as in Node.js', async () => {
  const methods = ['debug', 'error', 'info', 'log', 'warn']
  const calls = methods.map((method) => `console.${method}('%s:', '${method}', { a: 1 })`)
  const { lines } = await runAction(calls.join('\n'))
  expect(lines).toEqual(methods.map((method) => `${method}: { a: 1 }`))
})

test('an Action has the globals of Auth0’s runtimes and the given clock, but not the globals of this process', async () => {
  const { claims } = await runAction(`
    const body = new URLSearchParams({ id: btoa('a') }).toString()
    const { signal } = new AbortController()
    api.accessToken.setCustomClaim('body', Buffer.from(body).toString('hex'))
    api.accessToken.setCustomClaim('now', Date.now())
    api.accessToken.setCustomClaim('types', [typeof process, typeof require, typeof signal])
  `)
  expect(claims).toEqual({
    body: Buffer.from('id=YQ%3D%3D').toString('hex'),
    now: NOW,
    types: ['undefined', 'undefined', 'object'],
  })
})

test('a claim is recorded as the JSON that a token contains, so that a strict comparison succeeds', async () => {
  const { claims } = await runAction(`
    const list = ['a', { since: new Date(0), none: undefined }]
    api.accessToken.setCustomClaim('list', list)
    list.push('after the call')
    api.accessToken.setCustomClaim('missing', undefined)
  `)
  // Vitest's `toEqual` accepts an array of another context, which `node:assert/strict` rejects.
  assert.deepEqual(claims, { list: ['a', { since: '1970-01-01T00:00:00.000Z' }] })
})

test.each([
  'sid',
  'roles',
  'x5t#S256',
  'https://acme.eu.auth0.com/role',
  'https://auth0.com',
  'http://WEBTASK.io:80/role',
  'urn:auth0:role',
])('a claim with the restricted name %s is missing, as in Auth0', async (name) => {
  const { claims } = await runAction(`api.accessToken.setCustomClaim('${name}', 1)`)
  expect(claims).toEqual({})
})

test.each([
  'role',
  'email',
  'https://notauth0.com/role',
  'https://acme.example/auth0.com',
  'urn:acme:role',
])('a claim with the name %s is added', async (name) => {
  const { claims } = await runAction(`api.accessToken.setCustomClaim('${name}', 1)`)
  expect(claims).toEqual({ [name]: 1 })
})

test('an Action has the globals that Node.js 18 and 22 have, but not `crypto`, which Node.js 18 lacks', async () => {
  const names = [
    'performance',
    'Event',
    'EventTarget',
    'DOMException',
    'setImmediate',
    'ReadableStream',
  ]
  const { claims } = await runAction(`
    const missing = (names) => names.filter((name) => globalThis[name] === undefined)
    api.accessToken.setCustomClaim('missing', missing([${names.map((name) => `'${name}'`)}, 'crypto']))
  `)
  expect(claims).toEqual({ missing: ['crypto'] })
})

test('loadAction rejects code without a handler of the trigger, and the message names the missing export', () => {
  const load = () => loadAction('exports.other = 1', { now: Date.now, onLogLine: () => {} })
  expect(load).toThrow(/exports\.onExecutePostLogin/)
})
