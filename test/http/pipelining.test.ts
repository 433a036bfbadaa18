import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { FEED_LIMITS } from '../../src/http/feed.js'
import { MAX_WAITING_REQUESTS } from '../../src/http/pipelining.js'
import type { LogoutSnapshot } from '../../src/rules/logout-snapshot.js'
import { bearer, failIfCalled, keys, listenOnLoopback, openApi } from '../_support/api.js'

const NO_LOGOUT: LogoutSnapshot = {
  user: null,
  session: null,
  floorAt: null,
  asOf: null,
  now: 0,
  complete: false,
}

// A client that pipelines sends further requests before it has received the response to the first one.

/** The users whose last logout was requested, in the order of the requests. */
let requestedUsers: string[] = []
/** Each function sends the response to one request. */
let pendingResponses: (() => void)[] = []
let app: Awaited<ReturnType<typeof openApi>>
let url: URL
beforeAll(async () => {
  app = await openApi({
    readKnownLogouts: (userId) => {
      requestedUsers.push(userId)
      return new Promise<LogoutSnapshot>((resolve) =>
        pendingResponses.push(() => resolve(NO_LOGOUT)),
      )
    },
    readProgress: failIfCalled,
    readChanges: async () => ({ changes: [], cursor: 'c', asOf: null, now: 0, more: false }),
    storeReported: failIfCalled,
    feedLimits: { ...FEED_LIMITS, heartbeatIntervalMs: 50, maxSubscribers: 1 },
  })
  url = new URL(await listenOnLoopback(app))
})
beforeEach(() => {
  app.logLines.length = 0
  requestedUsers = []
  pendingResponses = []
})
afterAll(() => app.close())

const formatRequest = (path: string, key = keys.reader) =>
  `GET ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: ${bearer(key).authorization}\r\n\r\n`
/** Formats a request for the last logout of the user n. */
const formatUserRequest = (n: number) => formatRequest(`/v1/users/${n}/last-logout`)
const formatUserRequests = (count: number) =>
  Array.from({ length: count }, (_, n) => formatUserRequest(n)).join('')

async function openConnection() {
  const socket = connect(Number(url.port), url.hostname)
  // If the server resets the connection, the socket emits an error.
  socket.on('error', () => {})
  let text = ''
  socket.setEncoding('utf8').on('data', (chunk) => {
    text += chunk
  })
  await once(socket, 'connect')
  return { socket, receivedText: () => text }
}

const waitForClose = (socket: Socket) => (socket.closed ? null : once(socket, 'close'))

test('the server processes pipelined requests one after the other, and responds in their order', async () => {
  const { socket, receivedText } = await openConnection()
  socket.write(formatUserRequests(3))
  for (const expectedUsers of [['0'], ['0', '1'], ['0', '1', '2']]) {
    await expect.poll(() => requestedUsers).toEqual(expectedUsers)
    pendingResponses.at(-1)?.()
  }
  const usersInResponses = () =>
    [...receivedText().matchAll(/"user_id":"(\d)"/g)].map(([, user]) => user)
  await expect.poll(usersInResponses).toEqual(['0', '1', '2'])
  // After these responses, the server processes the next request of the connection.
  socket.write(formatUserRequest(7))
  await expect.poll(() => requestedUsers).toEqual(['0', '1', '2', '7'])
  socket.destroy()
})

test('the server processes the requests of different connections at the same time', async () => {
  const connections = await Promise.all([openConnection(), openConnection()])
  for (const [n, { socket }] of connections.entries()) socket.write(formatUserRequest(n))
  await expect.poll(() => requestedUsers.toSorted()).toEqual(['0', '1'])
  for (const { socket } of connections) socket.destroy()
})

test('the server closes a connection with too many waiting requests, and logs this once', async () => {
  const allowedConnection = await openConnection()
  allowedConnection.socket.write(formatUserRequests(MAX_WAITING_REQUESTS + 1))
  await expect.poll(() => requestedUsers).toEqual(['0'])
  expect(app.logLines).toEqual([])

  for (let n = 0; n < 2; n++) {
    const { socket, receivedText } = await openConnection()
    socket.write(formatUserRequests(MAX_WAITING_REQUESTS + 2))
    await waitForClose(socket)
    expect(receivedText()).toBe('')
  }
  const lines = app.logLines.map((line) => JSON.parse(line))
  expect(lines).toEqual([
    expect.objectContaining({
      msg: 'connection closed: too many pipelined requests',
      address: '127.0.0.1',
    }),
  ])
  // The server did not process the requests that waited on the closed connections.
  expect(requestedUsers).toEqual(['0', '0', '0'])
  expect(allowedConnection.socket.closed).toBe(false)
  allowedConnection.socket.destroy()
})

test('the server drops the waiting requests of a connection when the client disconnects', async () => {
  const whenAccepted = once(app.server, 'connection')
  const { socket } = await openConnection()
  const [serverSocket] = await whenAccepted
  socket.write(formatUserRequests(3))
  await expect.poll(() => requestedUsers).toEqual(['0'])
  socket.destroy()
  await waitForClose(serverSocket)
  pendingResponses[0]?.()
  const otherConnection = await openConnection()
  otherConnection.socket.write(formatUserRequest(9))
  await expect.poll(() => requestedUsers).toEqual(['0', '9'])
  otherConnection.socket.destroy()
})

test('a closed connection with a waiting stream request is not counted as a subscriber', async () => {
  const subscribeRequest = formatRequest('/v1/changes', keys.subscriber).replace(
    '\r\n\r\n',
    '\r\nAccept: text/event-stream\r\n\r\n',
  )
  const firstConnection = await openConnection()
  firstConnection.socket.write(formatUserRequest(0) + subscribeRequest)
  await expect.poll(() => requestedUsers).toEqual(['0'])
  firstConnection.socket.destroy()
  const subscribeAgain = async () => {
    const { socket, receivedText } = await openConnection()
    socket.write(subscribeRequest)
    await expect.poll(receivedText).not.toBe('')
    socket.destroy()
    // The status in `HTTP/1.1 200`.
    return receivedText().slice(9, 12)
  }
  await expect.poll(subscribeAgain).toBe('200')
})

test('an error while accepting a connection is logged, and does not end the process', async () => {
  const error = Object.assign(new Error('accept EMFILE'), { code: 'EMFILE', syscall: 'accept' })
  app.server.emit('error', error)
  expect(app.logLines.map((line) => JSON.parse(line).msg)).toEqual(['connection not accepted'])
})
