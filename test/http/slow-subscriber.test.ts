import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createEventReader } from '../../src/client/event-stream.js'
import { FEED_LIMITS } from '../../src/http/feed.js'
import { bearer, keys, listenOnLoopback, openApi } from '../_support/api.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { subscribeToFeed } from '../_support/events.js'
import { openTestStore } from '../_support/store.js'

/** With ids as long as these, more than the buffers of a connection hold. */
const CHANGES = 50_000
const PAGES = CHANGES / 1_000
const PREFIX = `auth0|${'x'.repeat(700)}`

/** Long enough for another subscriber to load meanwhile. */
const WRITE_TIMEOUT_MS = 4_000

let database: TestDatabase
let store: Awaited<ReturnType<typeof openTestStore>>
let api: Awaited<ReturnType<typeof openApi>>
let url: string
let pagesRead = 0
beforeAll(async () => {
  database = await createTestDatabase()
  store = await openTestStore(database)
  await database.query(
    `INSERT INTO last_logout SELECT '${PREFIX}' || n, now(), now(), '', 'slo', n
     FROM generate_series(1, ${CHANGES}) AS n`,
  )
  await database.query(`UPDATE tenant SET seq = ${CHANGES}`)
  const readChanges: typeof store.readChanges = (query) => {
    pagesRead++
    return store.readChanges(query)
  }
  const feedLimits = { ...FEED_LIMITS, writeTimeoutMs: WRITE_TIMEOUT_MS }
  api = await openApi({ ...store, readChanges, feedLimits })
  url = await listenOnLoopback(api)
})
afterAll(async () => {
  await api.close()
  await store.close()
  await database.drop()
})

test('a subscriber that reads nothing is disconnected without delaying others, and can resume', async () => {
  const accepted = once(api.server, 'connection')
  const stalled = await openStalled(url)
  const [connection] = await accepted
  const disconnected = once(connection, 'close')
  await waitForIdle()
  // The buffers of both ends hold some pages. Further pages are not read from the database.
  expect(pagesRead).toBeGreaterThan(0)
  expect(pagesRead).toBeLessThan(PAGES / 2)

  const other = await subscribeToFeed(url, '', bearer(keys.subscriber))
  await expect.poll(() => other.dataOf('freshness').length, { timeout: 20_000 }).toBeGreaterThan(0)
  expect(other.dataOf('change')).toHaveLength(CHANGES)
  await other.close()

  await disconnected
  const received = parse(await readToEnd(stalled))
  expect(received.users.length).toBeLessThan(CHANGES)

  const resumed = await subscribeToFeed(url, `?after=${received.cursor}`, bearer(keys.subscriber))
  await expect.poll(() => resumed.dataOf('freshness').length, { timeout: 20_000 }).toBe(1)
  const seen = new Set([
    ...received.users,
    ...resumed.dataOf('change').map(({ user_id }) => user_id),
  ])
  expect(seen.size).toBe(CHANGES)
  await resumed.close()
}, 90_000)

/** Subscribes to the feed, and reads nothing. */
async function openStalled(url: string): Promise<Socket> {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  // A reset by the server is emitted as an error.
  socket.on('error', () => {})
  socket.write(
    `GET /v1/changes HTTP/1.0\r\nHost: ${hostname}\r\nAuthorization: Bearer ${keys.subscriber.key}\r\nAccept: text/event-stream\r\n\r\n`,
  )
  return socket.pause()
}

/** Resolves when no page has been read for half a second. */
async function waitForIdle(): Promise<void> {
  for (let before = 0; pagesRead !== before || before === 0; ) {
    before = pagesRead
    await sleep(500)
  }
}

/** Reads until the connection is closed. */
async function readToEnd(socket: Socket) {
  let text = ''
  socket.setEncoding('utf8').on('data', (chunk) => {
    text += chunk
  })
  socket.resume()
  await once(socket, 'close')
  return text
}

function parse(text: string) {
  const users: unknown[] = []
  let cursor = ''
  const read = createEventReader(({ name, data, id }) => {
    if (name === 'change') users.push(JSON.parse(data).user_id)
    if (id) cursor = id
  })
  read(text.slice(text.indexOf('\r\n\r\n') + 4))
  return { users, cursor }
}
