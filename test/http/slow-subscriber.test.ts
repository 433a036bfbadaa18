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

/** Number of changes. Together, they are larger than the buffers of a connection, because the ids are long. */
const CHANGE_COUNT = 50_000
/** The stream reads pages of 1,000 changes. */
const PAGE_COUNT = CHANGE_COUNT / 1_000
const USER_ID_PREFIX = `auth0|${'x'.repeat(700)}`

/** Another subscriber can load all changes within this time. */
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
    `INSERT INTO last_logout SELECT '${USER_ID_PREFIX}' || n, now(), now(), '', 'slo', n
     FROM generate_series(1, ${CHANGE_COUNT}) AS n`,
  )
  // `seq` is the position of the last change in the feed.
  await database.query(`UPDATE tenant SET seq = ${CHANGE_COUNT}`)
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
  const whenAccepted = once(api.server, 'connection')
  const stalledSocket = await openStalledConnection(url)
  const [serverSocket] = await whenAccepted
  const whenDisconnected = once(serverSocket, 'close')
  await waitForIdle()
  // The API does not read more pages from the database than fit into the buffers of the connection.
  expect(pagesRead).toBeGreaterThan(0)
  expect(pagesRead).toBeLessThan(PAGE_COUNT / 2)

  const otherSubscriber = await subscribeToFeed(url, '', bearer(keys.subscriber))
  await expect
    .poll(() => otherSubscriber.dataOf('freshness').length, { timeout: 20_000 })
    .toBeGreaterThan(0)
  expect(otherSubscriber.dataOf('change')).toHaveLength(CHANGE_COUNT)
  await otherSubscriber.close()

  await whenDisconnected
  const firstPart = parseFeed(await readToEnd(stalledSocket))
  expect(firstPart.users.length).toBeLessThan(CHANGE_COUNT)

  const resumedFeed = await subscribeToFeed(
    url,
    `?after=${firstPart.cursor}`,
    bearer(keys.subscriber),
  )
  await expect.poll(() => resumedFeed.dataOf('freshness').length, { timeout: 20_000 }).toBe(1)
  const receivedUsers = new Set([
    ...firstPart.users,
    ...resumedFeed.dataOf('change').map(({ user_id }) => user_id),
  ])
  expect(receivedUsers.size).toBe(CHANGE_COUNT)
  await resumedFeed.close()
}, 90_000)

/** Subscribes to the feed, and reads nothing. */
async function openStalledConnection(url: string): Promise<Socket> {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  // If the server resets the connection, the socket emits an error.
  socket.on('error', () => {})
  socket.write(
    // With HTTP/1.0, the response has no chunked encoding.
    `GET /v1/changes HTTP/1.0\r\nHost: ${hostname}\r\nAuthorization: Bearer ${keys.subscriber.key}\r\nAccept: text/event-stream\r\n\r\n`,
  )
  return socket.pause()
}

/** Waits until the API has read no page for half a second. */
async function waitForIdle(): Promise<void> {
  for (let previouslyRead = 0; pagesRead !== previouslyRead || previouslyRead === 0; ) {
    previouslyRead = pagesRead
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

/** Parses the response with an event stream. Returns the users of the changes, and the last cursor. */
function parseFeed(text: string) {
  const users: unknown[] = []
  let cursor = ''
  const read = createEventReader(({ name, data, id }) => {
    if (name === 'change') users.push(JSON.parse(data).user_id)
    if (id) cursor = id
  })
  read(text.slice(text.indexOf('\r\n\r\n') + 4))
  return { users, cursor }
}
