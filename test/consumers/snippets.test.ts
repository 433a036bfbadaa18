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

/** Waits until the client knows the logout of the user. */
async function logOut(userId: string): Promise<void> {
  feed.logOut(userId)
  await expect.poll(() => feed.client.checkNow(liveClaims(userId)).outcome, WAIT).toBe('revoked')
}

describe('docs/live-connections.md', () => {
  test('the example of ws refuses an invalid token, and handles each message until a logout closes the connection', async () => {
    const http = createServer()
    const { url, close } = await openLoopback(http)
    onTestFinished(close)
    const received: string[] = []
    await runSnippet(await readExample('docs/live-connections.md', 'Adapters', 'js'), {
      client: feed.client,
      server: new WebSocketServer({ server: http }),
      verify: async ({ url: path }: IncomingMessage) => {
        await setTimeout(20)
        return path === '/valid' ? liveClaims('auth0|1') : null
      },
      handle: (data: Buffer) => received.push(`${data}`),
    })
    const open = (path: string) => {
      const socket = new WebSocket(new URL(path, url.replace('http', 'ws')))
      onTestFinished(() => socket.terminate())
      return socket
    }
    expect((await once(open('/invalid'), 'close'))[0]).toBe(4401)
    const socket = open('/valid')
    await once(socket, 'open')
    // The token is not verified yet.
    socket.send('first')
    await expect.poll(() => received, WAIT).toEqual(['first'])
    const closed = once(socket, 'close')
    feed.logOut('auth0|1')
    expect((await closed)[0]).toBe(4401)
  })

  test('the example of other servers refuses a revoked token, and ends a connection at a logout', async () => {
    const code = await readExample('docs/live-connections.md', 'Other servers', 'js')
    const connection = Object.assign(new EventEmitter(), { end: vi.fn() })
    const refuse = vi.fn()
    const open = () =>
      runSnippet(code, { client: feed.client, claims: liveClaims('auth0|1'), connection, refuse })
    await open()
    expect(connection.listenerCount('close')).toBe(1)
    await logOut('auth0|1')
    expect(connection.end.mock.calls).toEqual([['revoked']])
    await open()
    expect(refuse.mock.calls).toMatchObject([[{ allowed: false, outcome: 'revoked' }]])
    expect(connection.listenerCount('close')).toBe(1)
  })

  test('the example of sessions ends those that a logout revokes', async () => {
    const toSession = (sub: string) => ({ claims: liveClaims(sub), end: vi.fn() })
    const [ended, other] = [toSession('auth0|1'), toSession('auth0|2')]
    const sessions = {
      of: (userId: string) => (userId === 'auth0|1' ? [ended] : [other]),
      all: () => [ended, other],
    }
    const code = await readExample(
      'docs/live-connections.md',
      'Caches and sessions of your own',
      'js',
    )
    await runSnippet(code, { client: feed.client, sessions })
    await logOut('auth0|1')
    expect([ended.end, other.end].map(({ mock }) => mock.calls.length)).toEqual([1, 0])
  })
})

test.each([
  ['lets a valid token pass', false, []],
  ['sends the refusal of a revoked token', true, [401]],
])(
  'the example of docs/resource-servers.md for any framework %s',
  async (_what, isRevoked, sent) => {
    const code = await readExample('docs/resource-servers.md', 'Any other framework', 'js')
    const claims = liveClaims('auth0|1')
    const send = vi.fn()
    await runSnippet(code.replace('const refusal', 'await opened(client)\nconst refusal'), {
      url: feed.url,
      apiKey: KEY,
      claims,
      request: { headers: { authorization: 'Bearer x' } },
      send,
      async opened(client: LastLogoutClient) {
        onTestFinished(() => client.close())
        await client.ready()
        if (isRevoked) feed.logOut('auth0|1')
        const outcome = isRevoked ? 'revoked' : 'accepted'
        await expect.poll(() => client.checkNow(claims).outcome, WAIT).toBe(outcome)
      },
    })
    expect(send.mock.calls.map(([status]) => status)).toEqual(sent)
  },
)

test('the example of src/client/README.md protects an Express app', async () => {
  const code = await readExample('src/client/README.md', 'last-logout-client', 'js')
  const app = express()
  await runSnippet(`${code}\nopened(client)`, {
    opened: (client: LastLogoutClient) => onTestFinished(() => client.close()),
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
