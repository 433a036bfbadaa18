import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createEventReader } from '../../src/client/event-stream.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { followFeed } from '../_support/events.js'
import { KEY, serveApi } from '../_support/served-api.js'
import { openStore } from '../_support/store.js'
import { DOMAIN } from '../_support/tenant.js'

/** More than the buffers of a connection take. */
const CHANGES = 100_000

let database: TestDatabase
let api: Awaited<ReturnType<typeof serveApi>>
beforeAll(async () => {
  database = await createTestDatabase()
  const store = await openStore(database, { domain: DOMAIN })
  await store.close()
  await database.query(
    `INSERT INTO last_logout SELECT 'auth0|' || n, now(), now(), '', 'slo', n
     FROM generate_series(1, ${CHANGES}) AS n`,
  )
  await database.query(`UPDATE tenant SET seq = ${CHANGES}`)
  api = await serveApi(database)
})
afterAll(async () => {
  await api.close()
  await database.drop()
})

test('who follows the feed and reads nothing is dropped, keeps nobody else waiting, and resumes', async () => {
  const before = process.memoryUsage.rss()
  const stalled = await openStalled(api.url)

  const other = await followFeed(api.url)
  await expect.poll(() => other.named('freshness').length, { timeout: 20_000 }).toBeGreaterThan(0)
  expect(other.named('change')).toHaveLength(CHANGES)
  await other.close()

  const got = readChanges(await readToEnd(stalled, 20_000))
  expect(got.users.length).toBeLessThan(CHANGES)
  // What was not sent was not read from the database either: the buffers of both ends, and a page.
  expect(process.memoryUsage.rss() - before).toBeLessThan(512 * 1024 * 1024)

  const resumed = await followFeed(api.url, `?after=${got.cursor}`)
  await expect.poll(() => resumed.named('freshness').length, { timeout: 20_000 }).toBe(1)
  const seen = new Set([...got.users, ...resumed.named('change').map(({ user_id }) => user_id)])
  expect(seen.size).toBe(CHANGES)
  await resumed.close()
}, 90_000)

/** Asks for the feed, and takes nothing of it. */
async function openStalled(url: string): Promise<Socket> {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  // The server's reset comes as an error.
  socket.on('error', () => {})
  socket.write(
    `GET /v1/changes HTTP/1.0\r\nHost: ${hostname}\r\nAuthorization: Bearer ${KEY}\r\nAccept: text/event-stream\r\n\r\n`,
  )
  return socket.pause()
}

/** Takes nothing for so long, then what is there until the end. */
async function readToEnd(socket: Socket, stalledMs: number) {
  await sleep(stalledMs)
  let text = ''
  socket.setEncoding('utf8').on('data', (chunk) => {
    text += chunk
  })
  socket.resume()
  await once(socket, 'close')
  return text
}

function readChanges(text: string) {
  const users: unknown[] = []
  let cursor = ''
  const read = createEventReader(({ name, data, id }) => {
    if (name === 'change') users.push(JSON.parse(data).user_id)
    if (id) cursor = id
  })
  read(text.slice(text.indexOf('\r\n\r\n') + 4))
  return { users, cursor }
}
