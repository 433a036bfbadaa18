import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { MAX_WAITING_REQUESTS } from '../../src/http/pipelining.js'
import type { Known } from '../../src/rules/known.js'
import { bearer, keys, listenOnLoopback, openApi } from '../_support/api.js'

const KNOWN: Known = {
  user: null,
  session: null,
  floorAt: null,
  asOf: null,
  now: 0,
  complete: false,
}

/** The users whose last logout was requested, in this order. */
let requested: string[] = []
/** Sends the responses that wait. */
let respond: (() => void)[] = []
let app: Awaited<ReturnType<typeof openApi>>
let url: URL
const nothing = async () => {
  throw new Error('not called')
}
beforeAll(async () => {
  app = await openApi({
    readKnown: (userId) => {
      requested.push(userId)
      return new Promise<Known>((resolve) => respond.push(() => resolve(KNOWN)))
    },
    readProgress: nothing,
    readChanges: async () => ({ changes: [], cursor: 'c', asOf: null, now: 0, more: false }),
    storeReported: nothing,
    feedLimits: { heartbeatIntervalMs: 50, maxSubscribers: 1, writeTimeoutMs: 10_000 },
  })
  url = new URL(await listenOnLoopback(app))
})
beforeEach(() => {
  app.lines.length = 0
  requested = []
  respond = []
})
afterAll(() => app.close())

const get = (path: string, key = keys.reader) =>
  `GET ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: ${bearer(key).authorization}\r\n\r\n`
const getUser = (n: number) => get(`/v1/users/${n}/last-logout`)
const getUsers = (count: number) => Array.from({ length: count }, (_, n) => getUser(n)).join('')

async function open() {
  const socket = connect(Number(url.port), url.hostname)
  // A reset by the server is emitted as an error.
  socket.on('error', () => {})
  let text = ''
  socket.setEncoding('utf8').on('data', (chunk) => {
    text += chunk
  })
  await once(socket, 'connect')
  return { socket, received: () => text }
}

const closed = (socket: Socket) => (socket.closed ? null : once(socket, 'close'))

test('processes pipelined requests one after the other, and responds in their order', async () => {
  const { socket, received } = await open()
  socket.write(getUsers(3))
  for (const expected of [['0'], ['0', '1'], ['0', '1', '2']]) {
    await expect.poll(() => requested).toEqual(expected)
    respond.at(-1)?.()
  }
  const users = () => [...received().matchAll(/"user_id":"(\d)"/g)].map(([, user]) => user)
  await expect.poll(users).toEqual(['0', '1', '2'])
  // The connection is free for the next request.
  socket.write(getUser(7))
  await expect.poll(() => requested).toEqual(['0', '1', '2', '7'])
  socket.destroy()
})

test('processes other connections at the same time', async () => {
  const connections = await Promise.all([open(), open()])
  for (const [n, { socket }] of connections.entries()) socket.write(getUser(n))
  await expect.poll(() => requested.toSorted()).toEqual(['0', '1'])
  for (const { socket } of connections) socket.destroy()
})

test('closes a connection with more pipelined requests than may wait, and logs that once', async () => {
  const allowed = await open()
  allowed.socket.write(getUsers(MAX_WAITING_REQUESTS + 1))
  await expect.poll(() => requested).toEqual(['0'])
  expect(app.lines).toEqual([])

  for (let n = 0; n < 2; n++) {
    const { socket, received } = await open()
    socket.write(getUsers(MAX_WAITING_REQUESTS + 2))
    await closed(socket)
    expect(received()).toBe('')
  }
  const lines = app.lines.map((line) => JSON.parse(line))
  expect(lines).toEqual([
    expect.objectContaining({
      msg: 'connection closed: too many pipelined requests',
      address: '127.0.0.1',
    }),
  ])
  // The requests that waited were not processed.
  expect(requested).toEqual(['0', '0', '0'])
  expect(allowed.socket.closed).toBe(false)
  allowed.socket.destroy()
})

test('drops the requests that wait when the client disconnects', async () => {
  const accepted = once(app.server, 'connection')
  const { socket } = await open()
  const [connection] = await accepted
  socket.write(getUsers(3))
  await expect.poll(() => requested).toEqual(['0'])
  socket.destroy()
  await closed(connection)
  respond[0]?.()
  const other = await open()
  other.socket.write(getUser(9))
  await expect.poll(() => requested).toEqual(['0', '9'])
  other.socket.destroy()
})

test('a subscriber that pipelines a second stream does not take the place of another one permanently', async () => {
  const subscribe = get('/v1/changes', keys.subscriber).replace(
    '\r\n\r\n',
    '\r\nAccept: text/event-stream\r\n\r\n',
  )
  const first = await open()
  first.socket.write(getUser(0) + subscribe)
  await expect.poll(() => requested).toEqual(['0'])
  first.socket.destroy()
  const subscribeAgain = async () => {
    const { socket, received } = await open()
    socket.write(subscribe)
    await expect.poll(received).not.toBe('')
    socket.destroy()
    return received().slice(9, 12)
  }
  await expect.poll(subscribeAgain).toBe('200')
})

test('an error while accepting a connection is logged, and does not end the process', async () => {
  const error = Object.assign(new Error('accept EMFILE'), { code: 'EMFILE', syscall: 'accept' })
  app.server.emit('error', error)
  expect(app.lines.map((line) => JSON.parse(line).msg)).toEqual(['connection not accepted'])
})
