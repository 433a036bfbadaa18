import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { connect as connectHttp2, constants, createServer as createHttp2Server } from 'node:http2'
import { type AddressInfo, connect as connectSocket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import express from 'express'
import fastify from 'fastify'
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import type { LastLogoutClient } from '../../src/client/index.js'
import { lastLogout } from '../../src/client/sse.js'
import { type ControlledFeed, liveClaims, openControlledFeed } from '../_support/controlled-feed.js'
import { requireInstalled } from '../_support/installed.js'
import { waitUntilListening } from '../_support/protected-server.js'
import { WAIT } from '../_support/wait.js'

const { EventSource } = requireInstalled('eventsource')

let feed: ControlledFeed
beforeEach(async () => {
  feed = await openControlledFeed()
})

type Handler = (response: ServerResponse, claims: object) => Promise<void>

/** Reads the claims from the URL. For simplicity, the clients send claims instead of a signed token. */
const readClaims = (url = '') => JSON.parse(decodeURIComponent(url.split('?')[1] ?? ''))

const createEventsUrl = (url: string, claims: object) =>
  new URL(`/events?${encodeURIComponent(JSON.stringify(claims))}`, url)

const SERVERS: [
  name: string,
  open: (handle: Handler) => Promise<{ url: string; close(): Promise<void> }>,
][] = [
  [
    'Express',
    async (handle) => {
      const app = express()
      app.get('/events', (req, res) => handle(res, readClaims(req.originalUrl)))
      return waitUntilListening(app.listen(0, '127.0.0.1'))
    },
  ],
  [
    'Fastify',
    async (handle) => {
      const app = fastify({ forceCloseConnections: true })
      app.get('/events', async (request, reply) => {
        reply.hijack()
        await handle(reply.raw, readClaims(request.url))
      })
      const url = await app.listen({ port: 0, host: '127.0.0.1' })
      return { url, close: () => app.close() }
    },
  ],
]

interface ServerOptions {
  maxUnknownMs?: number
  /** The size of the first event, in bytes. */
  firstEventBytes?: number
  /** The time from the check until the app sends the headers. */
  headersDelayMs?: number
  /** Whether the app sends the headers before the check. */
  sendsHeadersFirst?: boolean
}

describe.each(SERVERS)('Server-Sent Events with %s', (_case, openApp) => {
  /** Opens a server that sends an event every few milliseconds, until the response is closed. */
  async function openServer({
    firstEventBytes = 0,
    headersDelayMs = 0,
    sendsHeadersFirst = false,
    ...options
  }: ServerOptions = {}) {
    const protect = lastLogout(feed.client, options)
    /** Whether each connection was accepted. */
    const wereAccepted: boolean[] = []
    const openResponses = new Set<ServerResponse>()
    /** The errors of `writeHead`. */
    const errors: unknown[] = []
    const server = await openApp(async (response, claims) => {
      if (sendsHeadersFirst) response.writeHead(200, { 'content-type': 'text/event-stream' })
      const isAccepted = await protect(response, claims)
      wereAccepted.push(isAccepted)
      if (!isAccepted) return
      if (headersDelayMs > 0) await sleep(headersDelayMs)
      try {
        response.writeHead(200, { 'content-type': 'text/event-stream' })
      } catch (error) {
        errors.push(error)
      }
      if (response.destroyed) return
      // Clients reconnect after 50 ms.
      response.write('retry: 50\n\n')
      if (firstEventBytes > 0) response.write(`: ${'x'.repeat(firstEventBytes)}\n\n`)
      // Until the response is closed, the app does not notice that the stream has ended.
      const timer = setInterval(() => response.write('data: tick\n\n'), 5)
      openResponses.add(response)
      response.once('close', () => {
        clearInterval(timer)
        openResponses.delete(response)
      })
    })
    onTestFinished(() => server.close())
    return { url: server.url, wereAccepted, openResponses, errors }
  }

  /** Connects with an `EventSource`, which reconnects by itself. Records the events and the statuses of errors. */
  function connect(url: string, claims: object) {
    const source = new EventSource(createEventsUrl(url, claims))
    const receivedEvents: string[] = []
    const errors: (number | undefined)[] = []
    source.addEventListener('message', ({ data }: { data: string }) => receivedEvents.push(data))
    source.addEventListener('error', ({ code }: { code?: number }) => errors.push(code))
    onTestFinished(() => source.close())
    return { source, receivedEvents, errors }
  }

  test('a logout ends the stream of its session, and the client stops after a 401', async () => {
    const { url, wereAccepted } = await openServer()
    const phone = connect(url, liveClaims('auth0|1', { sid: 'phone' }))
    const laptop = connect(url, liveClaims('auth0|1', { sid: 'laptop' }))
    await expect
      .poll(() => phone.receivedEvents.length * laptop.receivedEvents.length, WAIT)
      .toBeGreaterThan(1)
    feed.logOut('auth0|1', 'phone')
    await expect.poll(() => phone.source.readyState, WAIT).toBe(EventSource.CLOSED)
    expect(phone.errors.at(-1)).toBe(401)
    const [phoneCount, laptopCount] = [phone.receivedEvents.length, laptop.receivedEvents.length]
    await sleep(300)
    expect(phone.receivedEvents).toHaveLength(phoneCount)
    expect(laptop.receivedEvents.length).toBeGreaterThan(laptopCount)
    expect(wereAccepted).toEqual([true, true, false])
  })

  test('after a logout before the headers, the app can still send them, and the client connects again and stops after a 401', async () => {
    const { url, wereAccepted, errors } = await openServer({ headersDelayMs: 300 })
    const client = connect(url, liveClaims('auth0|1'))
    await expect.poll(() => wereAccepted, WAIT).toEqual([true])
    feed.logOut('auth0|1')
    await expect.poll(() => client.source.readyState, WAIT).toBe(EventSource.CLOSED)
    await sleep(300)
    expect([client.errors.at(-1), wereAccepted, errors]).toEqual([401, [true, false], []])
  })

  test('if the app has sent the headers before the check, the response to a revoked token ends', async () => {
    const { url, wereAccepted } = await openServer({ sendsHeadersFirst: true })
    feed.logOut('auth0|1')
    const claims = liveClaims('auth0|1')
    await expect.poll(() => feed.client.checkNow(claims).outcome, WAIT).toBe('revoked')
    const response = await fetch(createEventsUrl(url, claims))
    expect([response.status, await response.text(), wereAccepted]).toEqual([200, '', [false]])
  })

  test('the watches of pipelined requests end with their connection', async () => {
    const watchSignals = new Set<AbortSignal>()
    const client: LastLogoutClient = {
      ...feed.client,
      watch(claims, options) {
        if (options.signal !== undefined) watchSignals.add(options.signal)
        return feed.client.watch(claims, options)
      },
    }
    const protect = lastLogout(client)
    watchSignals.clear()
    const { url, close } = await openApp(async (response, claims) => {
      if (await protect(response, claims)) response.writeHead(200).flushHeaders()
    })
    onTestFinished(close)
    const { hostname, port, pathname, search } = createEventsUrl(url, liveClaims('auth0|1'))
    const socket = connectSocket(Number(port), hostname)
    onTestFinished(() => void socket.destroy())
    socket.write(`GET ${pathname}${search} HTTP/1.1\r\nhost: localhost\r\n\r\n`.repeat(5))
    await expect.poll(() => watchSignals.size, WAIT).toBe(5)
    socket.destroy()
    const openWatches = () => [...watchSignals].filter(({ aborted }) => !aborted)
    await expect.poll(openWatches, WAIT).toEqual([])
  })

  test('a request with a revoked token is refused with 401 and a challenge', async () => {
    const { url } = await openServer()
    feed.logOut('auth0|1')
    const claims = liveClaims('auth0|1', { cnf: { jkt: 'K' } })
    await expect.poll(() => feed.client.checkNow(claims).outcome, WAIT).toBe('revoked')
    const response = await fetch(createEventsUrl(url, claims))
    expect([response.status, await response.json()]).toMatchObject([
      401,
      { error: 'invalid_token' },
    ])
    expect(response.headers.get('www-authenticate')).toMatch(/^DPoP error="invalid_token"/)
  })

  test('the stream ends when its token expires, and the client connects again', async () => {
    const { url, wereAccepted } = await openServer()
    connect(url, liveClaims('auth0|1', { exp: Date.now() / 1000 + 1 }))
    await expect.poll(() => wereAccepted.length, WAIT).toBeGreaterThan(1)
  })

  test('a recently expired token, which the JWT library still accepts, opens no stream', async () => {
    const { url, wereAccepted } = await openServer()
    const response = await fetch(
      createEventsUrl(url, liveClaims('auth0|1', { exp: Date.now() / 1000 - 2 })),
    )
    expect(await response.text()).toMatch(/^retry: \d+\n\n$/)
    expect(wereAccepted).toEqual([false])
  })

  test('while the revocation status is unknown, the client keeps reconnecting until it is accepted', async () => {
    const { url, wereAccepted } = await openServer({ maxUnknownMs: 100 })
    const { source, receivedEvents } = connect(url, liveClaims('auth0|1'))
    await expect.poll(() => receivedEvents.length, WAIT).toBeGreaterThan(1)
    feed.setStale(true)
    await expect.poll(() => wereAccepted, WAIT).toEqual([true, false])
    const receivedCount = receivedEvents.length
    feed.setStale(false)
    await expect.poll(() => receivedEvents.length, WAIT).toBeGreaterThan(receivedCount)
    expect([source.readyState, wereAccepted]).toEqual([EventSource.OPEN, [true, false, true]])
  })

  test('the response to a client that does not read is closed', async () => {
    const { url, openResponses } = await openServer({ firstEventBytes: 20_000_000 })
    const { hostname, port, pathname, search } = createEventsUrl(url, liveClaims('auth0|1'))
    const socket = connectSocket(Number(port), hostname)
    onTestFinished(() => void socket.destroy())
    socket.pause().write(`GET ${pathname}${search} HTTP/1.1\r\nhost: localhost\r\n\r\n`)
    await expect.poll(() => openResponses.size, WAIT).toBe(1)
    feed.logOut('auth0|1')
    await expect.poll(() => openResponses.size, WAIT).toBe(0)
  })
})

test('with HTTP/2, a request that is cancelled before the check is not accepted', async () => {
  const protect = lastLogout(feed.client)
  const results: Promise<boolean>[] = []
  const server = createHttp2Server((_request, response) => {
    response.once('close', () => results.push(protect(response, liveClaims('auth0|1'))))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const session = connectHttp2(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  onTestFinished(() => {
    session.destroy()
    server.close()
  })
  const stream = session.request({ ':path': '/events' })
  stream.on('error', () => {})
  await once(server, 'request')
  stream.close(constants.NGHTTP2_CANCEL)
  await expect.poll(() => results.length, WAIT).toBe(1)
  expect(await results[0]).toBe(false)
})
