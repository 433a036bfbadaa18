import { createServer } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { beforeEach, expect, onTestFinished, test } from 'vitest'
import { lastLogout } from '../../src/client/socket-io.js'
import { type ControlledFeed, liveClaims, openControlledFeed } from '../_support/controlled-feed.js'
import { requireInstalled } from '../_support/installed.js'
import { openLoopback } from '../_support/loopback.js'
import { WAIT } from '../_support/wait.js'

const { Server } = requireInstalled('socket.io')
const { io } = requireInstalled('socket.io-client')

/** The used part of a socket of the server. */
interface ServerSocket {
  data: { claims?: object }
  handshake: { auth: { claims?: object } }
  recovered: boolean
  conn: { close(): void }
  emit(event: string, ...data: unknown[]): boolean
  disconnect(close: true): unknown
  once(event: string, listener: () => void): unknown
  on(event: string, listener: (text: string) => void): unknown
}

let feed: ControlledFeed
beforeEach(async () => {
  feed = await openControlledFeed()
})

/** Opens a server. For simplicity, the clients send claims instead of a signed token. */
async function openServer({
  maxUnknownMs,
  getClaims = (socket) => socket.data.claims,
  ...options
}: {
  getClaims?: (socket: ServerSocket) => object | undefined
  maxUnknownMs?: number
  connectionStateRecovery?: object
} = {}) {
  const httpServer = createServer()
  const server = new Server(httpServer, options)
  const connectedSockets: ServerSocket[] = []
  const receivedMessages: string[] = []
  server.use((socket: ServerSocket, next: () => void) => {
    Object.assign(socket.data, { claims: socket.handshake.auth.claims })
    next()
  })
  lastLogout<ServerSocket>(feed.client, { getClaims, ...(maxUnknownMs && { maxUnknownMs }) })(
    server,
  )
  server.on('connection', (socket: ServerSocket) => {
    connectedSockets.push(socket)
    socket.emit('greeting')
    socket.on('message', (text) => receivedMessages.push(text))
  })
  const { url, close } = await openLoopback(httpServer)
  onTestFinished(async () => {
    await server.close()
    await close().catch(() => {})
  })
  return { url, connectedSockets, receivedMessages }
}

/** Connects with the client of Socket.IO, and records its events in the order in which they occur. */
function connect(url: string, claims: object) {
  const socket = io(url, { auth: { claims }, reconnectionDelay: 300, reconnectionDelayMax: 300 })
  const events: string[] = []
  socket.on('connect', () => events.push(socket.recovered ? 'recovered' : 'connect'))
  socket.on('connect_error', (error: { data?: { error: string } }) => {
    events.push(`connect_error ${error.data?.error}`)
  })
  socket.on('last-logout', ({ outcome }: { outcome: string }) => events.push(outcome))
  socket.on('greeting', () => events.push('greeting'))
  socket.on('disconnect', (reason: string) => events.push(reason))
  onTestFinished(() => socket.disconnect())
  return { socket, events }
}

test('a logout disconnects the client of its session, and the client does not reconnect', async () => {
  const { url, connectedSockets, receivedMessages } = await openServer()
  const phone = connect(url, liveClaims('auth0|1', { sid: 'phone' }))
  const laptop = connect(url, liveClaims('auth0|1', { sid: 'laptop' }))
  await expect.poll(() => connectedSockets, WAIT).toHaveLength(2)
  feed.logOut('auth0|1', 'phone')
  const eventsUntilEnd = ['connect', 'greeting', 'revoked', 'io server disconnect']
  await expect.poll(() => phone.events, WAIT).toEqual(eventsUntilEnd)
  // The client would reconnect after 300 ms.
  await sleep(500)
  expect([phone.events, phone.socket.active]).toEqual([eventsUntilEnd, false])
  laptop.socket.emit('message', 'hello')
  await expect.poll(() => receivedMessages, WAIT).toEqual(['hello'])

  phone.socket.connect()
  const eventsUntilRefusal = [...eventsUntilEnd, 'connect_error invalid_token']
  await expect.poll(() => phone.events, WAIT).toEqual(eventsUntilRefusal)
  await sleep(500)
  expect([phone.socket.active, connectedSockets.length]).toEqual([false, 2])
})

test('a client that recovers its connection after the logout is disconnected before it receives an event', async () => {
  const { url, connectedSockets } = await openServer({ connectionStateRecovery: {} })
  const { socket, events } = connect(url, liveClaims('auth0|1'))
  await expect.poll(() => events, WAIT).toEqual(['connect', 'greeting'])
  // The connection breaks. The client reconnects after the logout.
  const disconnected = new Promise<void>((resolve) =>
    connectedSockets[0]?.once('disconnect', resolve),
  )
  socket.io.engine.close()
  await disconnected
  feed.logOut('auth0|1')
  await expect.poll(() => connectedSockets.length, WAIT).toBe(2)
  expect(connectedSockets[1]?.recovered).toBe(true)
  await expect.poll(() => events.slice(-2), WAIT).toEqual(['revoked', 'io server disconnect'])
  expect(events.filter((event) => event === 'greeting')).toHaveLength(1)
  expect(socket.active).toBe(false)
})

test('a recovered connection is disconnected by a later logout', async () => {
  const { url, connectedSockets } = await openServer({ connectionStateRecovery: {} })
  const { socket, events } = connect(url, liveClaims('auth0|1'))
  await expect.poll(() => connectedSockets.length, WAIT).toBe(1)
  socket.io.engine.close()
  await expect.poll(() => connectedSockets.length, WAIT).toBe(2)
  feed.logOut('auth0|1')
  await expect.poll(() => events.slice(-2), WAIT).toEqual(['revoked', 'io server disconnect'])
})

test.each<[string, () => undefined]>([
  [
    'throws',
    () => {
      throw new TypeError('no request.auth')
    },
  ],
  ['returns nothing', () => undefined],
])(
  'if getClaims %s for a recovered connection, the connection is disconnected',
  async (_case, fail) => {
    const { url, connectedSockets } = await openServer({
      connectionStateRecovery: {},
      getClaims: (socket) => (socket.recovered ? fail() : socket.data.claims),
    })
    const { socket, events } = connect(url, liveClaims('auth0|1'))
    // The client can recover the connection only after its first event.
    await expect.poll(() => events, WAIT).toEqual(['connect', 'greeting'])
    socket.io.engine.close()
    await expect.poll(() => connectedSockets.length, WAIT).toBe(2)
    expect(connectedSockets[1]?.recovered).toBe(true)
    await expect.poll(() => events.at(-1), WAIT).toBe('io server disconnect')
  },
)

test('a client is disconnected when its token expires, and receives the reason', async () => {
  const { url } = await openServer()
  const { socket, events } = connect(url, liveClaims('auth0|1', { exp: Date.now() / 1000 + 1 }))
  await expect.poll(() => events.slice(-2), WAIT).toEqual(['expired', 'io server disconnect'])
  expect(socket.active).toBe(false)
})

test('while the revocation status is unknown, the client keeps reconnecting until it is accepted', async () => {
  const { url, connectedSockets, receivedMessages } = await openServer({ maxUnknownMs: 100 })
  const { socket, events } = connect(url, liveClaims('auth0|1'))
  await expect.poll(() => connectedSockets.length, WAIT).toBe(1)
  feed.setStale(true)
  await expect.poll(() => events, WAIT).toEqual(['connect', 'greeting', 'transport close'])
  expect(socket.active).toBe(true)
  // The next attempt is refused, and the attempt after that is accepted.
  await new Promise((resolve) => socket.io.once('open', resolve))
  await new Promise((resolve) => socket.io.once('close', resolve))
  expect(connectedSockets).toHaveLength(1)
  feed.setStale(false)
  await expect.poll(() => connectedSockets.length, WAIT).toBe(2)
  socket.emit('message', 'again')
  await expect.poll(() => receivedMessages, WAIT).toEqual(['again'])
})

test('a client without verified claims is refused', async () => {
  const { url, connectedSockets } = await openServer()
  const { events } = connect(url, undefined as never)
  // The error has no data, so the client does not learn of a cause.
  await expect.poll(() => events, WAIT).toEqual(['connect_error undefined'])
  expect(connectedSockets).toEqual([])
})
