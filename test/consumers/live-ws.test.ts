import { createServer } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { lastLogout } from '../../src/client/ws.js'
import { type ControlledFeed, liveClaims, openControlledFeed } from '../_support/controlled-feed.js'
import { requireInstalled } from '../_support/installed.js'
import { openLoopback } from '../_support/loopback.js'
import { WAIT } from '../_support/wait.js'

const { WebSocket, WebSocketServer } = requireInstalled('ws')

let feed: ControlledFeed
beforeEach(async () => {
  feed = await openControlledFeed()
})

/** Reads the claims from the URL. For simplicity, the clients send claims instead of a signed token. */
const claimsIn = (url: string) => JSON.parse(decodeURIComponent(url.slice(2)))

describe('a server of ws', () => {
  /** Opens a server that records the messages of its clients. */
  async function openServer(options: { maxUnknownMs?: number } = {}) {
    const http = createServer()
    const server = new WebSocketServer({ server: http })
    const protect = lastLogout(feed.client, options)
    const received: string[] = []
    const accepted: boolean[] = []
    server.on('connection', async (socket: never, request: { url: string }) => {
      const isAccepted = await protect(socket, claimsIn(request.url))
      accepted.push(isAccepted)
      if (isAccepted) Object(socket).on('message', (data: Buffer) => received.push(`${data}`))
    })
    const { url, close } = await openLoopback(http)
    onTestFinished(async () => {
      for (const socket of server.clients) socket.terminate()
      await close()
    })
    return { url: url.replace('http', 'ws'), received, accepted, server }
  }

  /** Connects, sends a message at once, and records how the connection is closed. */
  function connect(url: string, claims: object) {
    const socket = new WebSocket(`${url}/?${encodeURIComponent(JSON.stringify(claims))}`)
    const closes: [code: number, reason: string][] = []
    socket.on('open', () => socket.send('first'))
    socket.on('close', (code: number, reason: Buffer) => closes.push([code, `${reason}`]))
    // A connection that is terminated before it is established emits an error.
    socket.on('error', () => {})
    onTestFinished(() => socket.terminate())
    return { socket, closes }
  }

  test('a logout closes the connections of its session with 4401, and messages during the check are not lost', async () => {
    const { url, received } = await openServer()
    const phone = connect(url, liveClaims('auth0|1', { sid: 'phone' }))
    const laptop = connect(url, liveClaims('auth0|1', { sid: 'laptop' }))
    await expect.poll(() => received, WAIT).toEqual(['first', 'first'])
    feed.logOut('auth0|1', 'phone')
    await expect
      .poll(() => phone.closes, WAIT)
      .toEqual([[4401, 'the token was revoked by a logout']])
    laptop.socket.send('second')
    await expect.poll(() => received, WAIT).toEqual(['first', 'first', 'second'])
  })

  test('a revoked token is refused with 4401, and its messages are not handled', async () => {
    const { url, received, accepted } = await openServer()
    feed.logOut('auth0|1')
    await expect
      .poll(() => feed.client.checkNow(liveClaims('auth0|1')).outcome, WAIT)
      .toBe('revoked')
    const { closes } = connect(url, liveClaims('auth0|1'))
    await expect.poll(() => closes, WAIT).toHaveLength(1)
    expect(closes[0]?.[0]).toBe(4401)
    expect([received, accepted]).toEqual([[], [false]])
  })

  test('a recently expired token, which the JWT library still accepts, is refused with 4403', async () => {
    const { url, received, accepted } = await openServer()
    const { closes } = connect(url, liveClaims('auth0|1', { exp: Date.now() / 1000 - 2 }))
    await expect.poll(() => closes, WAIT).toHaveLength(1)
    expect(closes[0]?.[0]).toBe(4403)
    expect([received, accepted]).toEqual([[], [false]])
  })

  test('a client that ignores the close frame is disconnected, and its later messages are not handled', async () => {
    const { url, received, server } = await openServer()
    const { socket } = connect(url, liveClaims('auth0|1'))
    await expect.poll(() => received, WAIT).toEqual(['first'])
    const [accepted] = server.clients
    // Without this listener, the client ignores the close frame.
    socket._receiver.removeAllListeners('conclude')
    feed.logOut('auth0|1')
    await expect.poll(() => accepted.readyState, WAIT).toBe(WebSocket.CLOSING)
    const sending = setInterval(() => socket.send('late'), 5)
    await expect.poll(() => server.clients.size, { ...WAIT, interval: 50 }).toBe(0)
    clearInterval(sending)
    expect(received).toEqual(['first'])
  })

  test('the connection is closed with 4403 when its token expires', async () => {
    const { url } = await openServer()
    const { closes } = connect(url, liveClaims('auth0|1', { exp: Date.now() / 1000 + 1 }))
    await expect.poll(() => closes, WAIT).toEqual([[4403, 'the token has expired']])
  })

  test('an unknown revocation status closes new and open connections with 1013', async () => {
    const { url, received } = await openServer({ maxUnknownMs: 100 })
    const first = connect(url, liveClaims('auth0|1'))
    await expect.poll(() => received, WAIT).toEqual(['first'])
    feed.setStale(true)
    const close = [1013, 'the revocation status of the token is unavailable']
    await expect.poll(() => first.closes, WAIT).toEqual([close])
    const second = connect(url, liveClaims('auth0|1'))
    await expect.poll(() => second.closes, WAIT).toEqual([close])
    feed.setStale(false)
    await expect.poll(() => feed.client.checkNow(liveClaims('auth0|1')).allowed, WAIT).toBe(true)
    connect(url, liveClaims('auth0|1'))
    await expect.poll(() => received, WAIT).toEqual(['first', 'first'])
  })

  test('protecting a connection without claims rejects with a TypeError', async () => {
    const { server, url } = await openServer()
    const connected = new Promise((resolve) => server.once('connection', resolve))
    connect(url, liveClaims('auth0|1'))
    const protect = lastLogout(feed.client)
    await expect(protect((await connected) as never, undefined as never)).rejects.toThrow(TypeError)
  })
})

describe('a server of graphql-ws', () => {
  const { buildSchema } = requireInstalled('graphql')
  const { createClient } = requireInstalled('graphql-ws')
  const { useServer } = requireInstalled('graphql-ws/use/ws')

  async function* ticks() {
    for (let n = 0; ; n++) {
      yield { tick: n }
      await sleep(5)
    }
  }

  /** Opens a server with a subscription that sends a number every few milliseconds. */
  async function openServer(options: { maxUnknownMs?: number } = {}) {
    const http = createServer()
    const server = new WebSocketServer({ server: http })
    const protect = lastLogout(feed.client, options)
    let connections = 0
    useServer(
      {
        schema: buildSchema('type Query { tick: Int } type Subscription { tick: Int }'),
        roots: { subscription: { tick: ticks } },
        onConnect: (context: { connectionParams: object; extra: { socket: never } }) => {
          connections++
          return protect(context.extra.socket, context.connectionParams)
        },
      },
      server,
    )
    const { url, close } = await openLoopback(http)
    onTestFinished(async () => {
      for (const socket of server.clients) socket.terminate()
      await close()
    })
    return { url: url.replace('http', 'ws'), connections: () => connections }
  }

  /** Subscribes with the client of graphql-ws, which reconnects after some close codes. */
  function subscribe(url: string, connectionParams: () => object) {
    const ticksReceived: number[] = []
    const errors: { code?: number }[] = []
    const client = createClient({
      url,
      webSocketImpl: WebSocket,
      connectionParams,
      retryAttempts: 100,
      retryWait: () => sleep(20),
    })
    client.subscribe(
      { query: 'subscription { tick }' },
      {
        next: ({ data }: { data: { tick: number } }) => ticksReceived.push(data.tick),
        error: (error: object) => errors.push(error),
        complete: () => {},
      },
    )
    onTestFinished(() => client.dispose())
    return { ticks: ticksReceived, errors }
  }

  test('a logout ends the subscription, and the client does not reconnect', async () => {
    const { url, connections } = await openServer()
    const { ticks, errors } = subscribe(url, () => liveClaims('auth0|1'))
    await expect.poll(() => ticks.length, WAIT).toBeGreaterThan(1)
    feed.logOut('auth0|1')
    await expect.poll(() => errors, WAIT).toMatchObject([{ code: 4401 }])
    const tickCount = ticks.length
    await sleep(200)
    expect([ticks.length, connections()]).toEqual([tickCount, 1])
  })

  test('a client with a revoked token is refused with 4401, and does not reconnect', async () => {
    const { url, connections } = await openServer()
    feed.logOut('auth0|1')
    await expect
      .poll(() => feed.client.checkNow(liveClaims('auth0|1')).outcome, WAIT)
      .toBe('revoked')
    const { ticks, errors } = subscribe(url, () => liveClaims('auth0|1'))
    await expect.poll(() => errors, WAIT).toMatchObject([{ code: 4401 }])
    await sleep(200)
    expect([ticks, connections()]).toEqual([[], 1])
  })

  test('after its token has expired, the client continues with a new token', async () => {
    const { url, connections } = await openServer()
    let lifetimeSeconds = 1
    const { ticks, errors } = subscribe(url, () => {
      const claims = liveClaims('auth0|1', { exp: Date.now() / 1000 + lifetimeSeconds })
      lifetimeSeconds = 3_600
      return claims
    })
    await expect.poll(connections, WAIT).toBe(2)
    const tickCount = ticks.length
    await expect.poll(() => ticks.length, WAIT).toBeGreaterThan(tickCount)
    expect(errors).toEqual([])
  })

  test('while the revocation status is unknown, the client keeps reconnecting until it is accepted', async () => {
    const { url, connections } = await openServer({ maxUnknownMs: 100 })
    const { ticks, errors } = subscribe(url, () => liveClaims('auth0|1'))
    await expect.poll(() => ticks.length, WAIT).toBeGreaterThan(1)
    feed.setStale(true)
    await expect.poll(connections, WAIT).toBeGreaterThan(3)
    const tickCount = ticks.length
    feed.setStale(false)
    await expect.poll(() => ticks.length, WAIT).toBeGreaterThan(tickCount)
    expect(errors).toEqual([])
  })
})
