import { createServer } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { lastLogout as protectNamespace } from '../../src/client/socket-io.js'
import { lastLogout as protectStream } from '../../src/client/sse.js'
import { lastLogout } from '../../src/client/ws.js'
import { openClient } from '../_support/client.js'
import { type ControlledFeed, liveClaims, openControlledFeed } from '../_support/controlled-feed.js'
import { requireInstalled } from '../_support/installed.js'
import { openLoopback } from '../_support/loopback.js'
import { WAIT } from '../_support/wait.js'

const { WebSocket, WebSocketServer } = requireInstalled('ws')

let feed: ControlledFeed
beforeEach(async () => {
  feed = await openControlledFeed()
})

// Close codes: 4401: the token was revoked. 4403: the token has expired. 1013: its revocation status is unknown.

/** Reads the claims from a URL such as `/?{claims}`. For simplicity, the clients send claims instead of a signed token. */
const readClaims = (url: string) => JSON.parse(decodeURIComponent(url.slice(2)))

describe('a server with ws', () => {
  /** Opens a server that records the messages of its clients. */
  async function openServer(options: { maxUnknownMs?: number } = {}) {
    const httpServer = createServer()
    const server = new WebSocketServer({ server: httpServer })
    const protect = lastLogout(feed.client, options)
    const receivedMessages: string[] = []
    /** Whether each connection was accepted. */
    const wereAccepted: boolean[] = []
    server.on('connection', async (socket: never, request: { url: string }) => {
      const isAccepted = await protect(socket, readClaims(request.url))
      wereAccepted.push(isAccepted)
      if (isAccepted)
        Object(socket).on('message', (data: Buffer) => receivedMessages.push(`${data}`))
    })
    const { url, close } = await openLoopback(httpServer)
    onTestFinished(async () => {
      for (const socket of server.clients) socket.terminate()
      await close()
    })
    return { url: url.replace('http', 'ws'), receivedMessages, wereAccepted, server }
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

  test('a logout closes the connections of its session with 4401, and no message that arrives during the check is lost', async () => {
    const { url, receivedMessages } = await openServer()
    const phone = connect(url, liveClaims('auth0|1', { sid: 'phone' }))
    const laptop = connect(url, liveClaims('auth0|1', { sid: 'laptop' }))
    await expect.poll(() => receivedMessages, WAIT).toEqual(['first', 'first'])
    feed.logOut('auth0|1', 'phone')
    await expect
      .poll(() => phone.closes, WAIT)
      .toEqual([[4401, 'the token was revoked by a logout']])
    laptop.socket.send('second')
    await expect.poll(() => receivedMessages, WAIT).toEqual(['first', 'first', 'second'])
  })

  test('a revoked token is refused with 4401, and its messages are not handled', async () => {
    const { url, receivedMessages, wereAccepted } = await openServer()
    feed.logOut('auth0|1')
    await expect
      .poll(() => feed.client.checkNow(liveClaims('auth0|1')).outcome, WAIT)
      .toBe('revoked')
    const { closes } = connect(url, liveClaims('auth0|1'))
    await expect.poll(() => closes, WAIT).toHaveLength(1)
    expect(closes[0]?.[0]).toBe(4401)
    expect([receivedMessages, wereAccepted]).toEqual([[], [false]])
  })

  test('a recently expired token, which the JWT library still accepts, is refused with 4403', async () => {
    const { url, receivedMessages, wereAccepted } = await openServer()
    const { closes } = connect(url, liveClaims('auth0|1', { exp: Date.now() / 1000 - 2 }))
    await expect.poll(() => closes, WAIT).toHaveLength(1)
    expect(closes[0]?.[0]).toBe(4403)
    expect([receivedMessages, wereAccepted]).toEqual([[], [false]])
  })

  test('a client that ignores the close frame is disconnected, and its later messages are not handled', async () => {
    const { url, receivedMessages, server } = await openServer()
    const { socket } = connect(url, liveClaims('auth0|1'))
    await expect.poll(() => receivedMessages, WAIT).toEqual(['first'])
    const [serverSocket] = server.clients
    // Without this listener, the client ignores the close frame.
    socket._receiver.removeAllListeners('conclude')
    feed.logOut('auth0|1')
    await expect.poll(() => serverSocket.readyState, WAIT).toBe(WebSocket.CLOSING)
    const sendTimer = setInterval(() => socket.send('late'), 5)
    await expect.poll(() => server.clients.size, { ...WAIT, interval: 50 }).toBe(0)
    clearInterval(sendTimer)
    expect(receivedMessages).toEqual(['first'])
  })

  test('an invalid frame closes the connection, and its error does not end the process', async () => {
    const { url, wereAccepted } = await openServer()
    const { socket, closes } = connect(url, liveClaims('auth0|1'))
    await expect.poll(() => wereAccepted, WAIT).toEqual([true])
    // A text frame without a mask. Without a listener, Vitest would report the error of the server's socket.
    Object(socket)._socket.write(Buffer.of(0x81, 0x01, 0x41))
    await expect.poll(() => closes.length, WAIT).toBe(1)
  })

  test('a client that cannot watch tokens, or a wrong option, is refused before the first connection', () => {
    const requestClient = openClient('http://127.0.0.1:9', { lookup: 'request' })
    onTestFinished(() => requestClient.close())
    const getClaims = () => undefined
    for (const createAdapter of [lastLogout, protectStream]) {
      expect(() => createAdapter(requestClient)).toThrow(/lookup: 'request' receives no logouts/)
      expect(() => createAdapter(feed.client, { maxUnknownMs: -1 })).toThrow(/maxUnknownMs/)
    }
    expect(() => protectNamespace(requestClient, { getClaims })).toThrow(/receives no logouts/)
    const options = { getClaims, maxUnknownMs: Number.NaN }
    expect(() => protectNamespace(feed.client, options)).toThrow(/maxUnknownMs/)
  })

  test('the connection is closed with 4403 when its token expires', async () => {
    const { url } = await openServer()
    const { closes } = connect(url, liveClaims('auth0|1', { exp: Date.now() / 1000 + 1 }))
    await expect.poll(() => closes, WAIT).toEqual([[4403, 'the token has expired']])
  })

  test('an unknown revocation status closes new and open connections with 1013', async () => {
    const { url, receivedMessages } = await openServer({ maxUnknownMs: 100 })
    const first = connect(url, liveClaims('auth0|1'))
    await expect.poll(() => receivedMessages, WAIT).toEqual(['first'])
    feed.setStale(true)
    const expectedClose = [1013, 'the revocation status of the token is unavailable']
    await expect.poll(() => first.closes, WAIT).toEqual([expectedClose])
    const second = connect(url, liveClaims('auth0|1'))
    await expect.poll(() => second.closes, WAIT).toEqual([expectedClose])
    feed.setStale(false)
    await expect.poll(() => feed.client.checkNow(liveClaims('auth0|1')).allowed, WAIT).toBe(true)
    connect(url, liveClaims('auth0|1'))
    await expect.poll(() => receivedMessages, WAIT).toEqual(['first', 'first'])
  })

  test('the adapter rejects with a TypeError if it receives no claims', async () => {
    const { server, url } = await openServer()
    const connection = new Promise((resolve) => server.once('connection', resolve))
    connect(url, liveClaims('auth0|1'))
    const protect = lastLogout(feed.client)
    await expect(protect((await connection) as never, undefined as never)).rejects.toThrow(
      TypeError,
    )
  })
})

describe('a server with graphql-ws', () => {
  const { buildSchema } = requireInstalled('graphql')
  const { createClient } = requireInstalled('graphql-ws')
  const { useServer } = requireInstalled('graphql-ws/use/ws')

  async function* generateTicks() {
    for (let n = 0; ; n++) {
      yield { tick: n }
      await sleep(5)
    }
  }

  /** Opens a server with a subscription that sends a number every few milliseconds. */
  async function openServer(options: { maxUnknownMs?: number } = {}) {
    const httpServer = createServer()
    const server = new WebSocketServer({ server: httpServer })
    const protect = lastLogout(feed.client, options)
    let connectionCount = 0
    useServer(
      {
        schema: buildSchema('type Query { tick: Int } type Subscription { tick: Int }'),
        roots: { subscription: { tick: generateTicks } },
        onConnect: (context: { connectionParams: object; extra: { socket: never } }) => {
          connectionCount++
          return protect(context.extra.socket, context.connectionParams)
        },
      },
      server,
    )
    const { url, close } = await openLoopback(httpServer)
    onTestFinished(async () => {
      for (const socket of server.clients) socket.terminate()
      await close()
    })
    return { url: url.replace('http', 'ws'), countConnections: () => connectionCount }
  }

  /** Subscribes with the client of graphql-ws, which reconnects after some close codes. */
  function subscribe(url: string, connectionParams: () => object) {
    const receivedTicks: number[] = []
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
        next: ({ data }: { data: { tick: number } }) => receivedTicks.push(data.tick),
        error: (error: object) => errors.push(error),
        complete: () => {},
      },
    )
    onTestFinished(() => client.dispose())
    return { ticks: receivedTicks, errors }
  }

  test('a logout ends the subscription, and the client does not reconnect', async () => {
    const { url, countConnections } = await openServer()
    const { ticks, errors } = subscribe(url, () => liveClaims('auth0|1'))
    await expect.poll(() => ticks.length, WAIT).toBeGreaterThan(1)
    feed.logOut('auth0|1')
    await expect.poll(() => errors, WAIT).toMatchObject([{ code: 4401 }])
    const tickCount = ticks.length
    await sleep(200)
    expect([ticks.length, countConnections()]).toEqual([tickCount, 1])
  })

  test('a client with a revoked token is refused with 4401, and does not reconnect', async () => {
    const { url, countConnections } = await openServer()
    feed.logOut('auth0|1')
    await expect
      .poll(() => feed.client.checkNow(liveClaims('auth0|1')).outcome, WAIT)
      .toBe('revoked')
    const { ticks, errors } = subscribe(url, () => liveClaims('auth0|1'))
    await expect.poll(() => errors, WAIT).toMatchObject([{ code: 4401 }])
    await sleep(200)
    expect([ticks, countConnections()]).toEqual([[], 1])
  })

  test('after the token of a client has expired, the client continues with a new token', async () => {
    const { url, countConnections } = await openServer()
    let lifetimeSeconds = 1
    const { ticks, errors } = subscribe(url, () => {
      const claims = liveClaims('auth0|1', { exp: Date.now() / 1000 + lifetimeSeconds })
      lifetimeSeconds = 3_600
      return claims
    })
    await expect.poll(countConnections, WAIT).toBe(2)
    const tickCount = ticks.length
    await expect.poll(() => ticks.length, WAIT).toBeGreaterThan(tickCount)
    expect(errors).toEqual([])
  })

  test('while the revocation status is unknown, the client keeps reconnecting until it is accepted', async () => {
    const { url, countConnections } = await openServer({ maxUnknownMs: 100 })
    const { ticks, errors } = subscribe(url, () => liveClaims('auth0|1'))
    await expect.poll(() => ticks.length, WAIT).toBeGreaterThan(1)
    feed.setStale(true)
    await expect.poll(countConnections, WAIT).toBeGreaterThan(3)
    const tickCount = ticks.length
    feed.setStale(false)
    await expect.poll(() => ticks.length, WAIT).toBeGreaterThan(tickCount)
    expect(errors).toEqual([])
  })
})
