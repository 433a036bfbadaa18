import { EventEmitter, once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import { setTimeout } from 'node:timers/promises'
import express from 'express'
import { beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import type { LastLogoutClient } from '../../src/client/index.js'
import { type ControlledFeed, liveClaims, openControlledFeed } from '../_support/controlled-feed.js'
import { readExample } from '../_support/documents.js'
import { requireInstalled } from '../_support/installed.js'
import { openLoopback } from '../_support/loopback.js'
import { runSnippet } from '../_support/run-snippet.js'
import { KEY } from '../_support/served-api.js'
import { WAIT } from '../_support/wait.js'

const { WebSocket, WebSocketServer } = requireInstalled('ws')

let feed: ControlledFeed
beforeEach(async () => {
  feed = await openControlledFeed()
})

/** Logs a user out, and waits until the client knows the logout. */
async function logOut(userId: string): Promise<void> {
  feed.logOut(userId)
  await expect.poll(() => feed.client.checkNow(liveClaims(userId)).outcome, WAIT).toBe('revoked')
}

describe('docs/live-connections.md', () => {
  test('the example with ws refuses an invalid token, and handles each message until a logout closes the connection', async () => {
    const httpServer = createServer()
    const { url, close } = await openLoopback(httpServer)
    onTestFinished(close)
    const handledMessages: string[] = []
    await runSnippet(await readExample('docs/live-connections.md', 'Adapters', 'js'), {
      client: feed.client,
      server: new WebSocketServer({ server: httpServer }),
      verify: async ({ url: path }: IncomingMessage) => {
        await setTimeout(20)
        return path === '/valid' ? liveClaims('auth0|1') : null
      },
      handle: (data: Buffer) => handledMessages.push(`${data}`),
    })
    const connect = (path: string) => {
      const socket = new WebSocket(new URL(path, url.replace('http', 'ws')))
      onTestFinished(() => socket.terminate())
      return socket
    }
    expect((await once(connect('/invalid'), 'close'))[0]).toBe(4401)
    const socket = connect('/valid')
    await once(socket, 'open')
    // `verify` takes 20 ms, so the token is not verified yet.
    socket.send('first')
    await expect.poll(() => handledMessages, WAIT).toEqual(['first'])
    const closed = once(socket, 'close')
    feed.logOut('auth0|1')
    expect((await closed)[0]).toBe(4401)
  })

  test('the example for other servers refuses a revoked token, and ends a connection at a logout', async () => {
    const code = await readExample('docs/live-connections.md', 'Other servers', 'js')
    const connection = Object.assign(new EventEmitter(), { end: vi.fn() })
    const refuse = vi.fn()
    const runExample = () =>
      runSnippet(code, { client: feed.client, claims: liveClaims('auth0|1'), connection, refuse })
    await runExample()
    await logOut('auth0|1')
    expect(connection.end.mock.calls).toEqual([['revoked']])
    await runExample()
    expect(refuse.mock.calls).toMatchObject([[{ allowed: false, outcome: 'revoked' }]])
  })

  test.each([
    ['during the check', true],
    ['after the check', false],
  ])(
    'the example for other servers ends the watch of a connection that closes %s',
    async (_when, isDuringCheck) => {
      const code = await readExample('docs/live-connections.md', 'Other servers', 'js')
      const connection = Object.assign(new EventEmitter(), { end: vi.fn() })
      const client = {
        async check(claims: object) {
          const decision = await feed.client.check(claims)
          if (isDuringCheck) connection.emit('close')
          return decision
        },
        watch: feed.client.watch,
      }
      await runSnippet(code, { client, claims: liveClaims('auth0|1'), connection, refuse: vi.fn() })
      if (!isDuringCheck) connection.emit('close')
      await logOut('auth0|1')
      expect(connection.end).not.toHaveBeenCalled()
    },
  )

  test('the example for sessions ends the sessions that a logout revokes', async () => {
    const all = ['1', '2', '3'].map((id) => ({
      userId: `auth0|${id}`,
      sessionId: `S${id}`,
      claims: liveClaims(`auth0|${id}`, { sid: `S${id}` }),
      end: vi.fn(),
    }))
    const sessions = {
      all: () => all,
      ofUser: (id: string) => all.filter(({ userId }) => userId === id),
      ofSession: (id: string) => all.filter(({ sessionId }) => sessionId === id),
    }
    const ended = () =>
      all.filter(({ end }) => end.mock.calls.length > 0).map((held) => held.userId)
    const code = await readExample(
      'docs/live-connections.md',
      'Caches and sessions of your own',
      'js',
    )
    await runSnippet(code, { client: feed.client, sessions })
    await logOut('auth0|1')
    expect(ended()).toEqual(['auth0|1'])
    // The log names only the session.
    feed.logOut(null, 'S2')
    await expect.poll(ended, WAIT).toEqual(['auth0|1', 'auth0|2'])
  })
})

test.each([
  ['lets a valid token pass', false, []],
  ['sends the refusal of a revoked token', true, [401]],
])(
  'the example of docs/resource-servers.md for any framework %s',
  async (_what, isRevoked, sentStatuses) => {
    const code = await readExample('docs/resource-servers.md', 'Any other framework', 'js')
    const claims = liveClaims('auth0|1')
    const send = vi.fn()
    // Before its check, the example waits until the client knows the logout.
    await runSnippet(code.replace('const refusal', 'await onClient(client)\nconst refusal'), {
      url: feed.url,
      apiKey: KEY,
      claims,
      request: { headers: { authorization: 'Bearer x' } },
      send,
      async onClient(client: LastLogoutClient) {
        onTestFinished(() => client.close())
        await client.ready()
        if (isRevoked) feed.logOut('auth0|1')
        const outcome = isRevoked ? 'revoked' : 'accepted'
        await expect.poll(() => client.checkNow(claims).outcome, WAIT).toBe(outcome)
      },
    })
    expect(send.mock.calls.map(([status]) => status)).toEqual(sentStatuses)
  },
)

test('the example of src/client/README.md protects an Express app', async () => {
  const code = await readExample('src/client/README.md', 'last-logout-client', 'js')
  const app = express()
  await runSnippet(`${code}\nonClient(client)`, {
    onClient: (client: LastLogoutClient) => onTestFinished(() => client.close()),
    url: feed.url,
    apiKey: KEY,
    app,
    issuerBaseURL: 'https://tenant.example/',
    audience: 'https://orders.example.com',
    auth: () => (req: object, _res: unknown, next: () => void) => {
      Object.assign(req, { auth: { payload: liveClaims('auth0|1') } })
      next()
    },
  })
  app.get('/', (_req, res) => void res.send('orders'))
  const { url, close } = await openLoopback(createServer(app))
  onTestFinished(close)
  expect((await fetch(url)).status).toBe(200)
  feed.logOut('auth0|1')
  await expect.poll(async () => (await fetch(url)).status, WAIT).toBe(401)
})
