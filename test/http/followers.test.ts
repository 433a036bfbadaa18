import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { FEED_LIMITS } from '../../src/http/feed.js'
import { bearer, keys, listen, openApi } from '../_support/api.js'

/** How many may follow the feed at once. */
const MOST = 200

let app: Awaited<ReturnType<typeof openApi>>
let url: URL
const nothing = async () => {
  throw new Error('not asked')
}
beforeEach(async () => {
  app = await openApi({
    readKnown: nothing,
    readProgress: nothing,
    readChanges: async () => ({ changes: [], cursor: 'c', asOf: null, now: 0, more: false }),
    storeReported: nothing,
    feedLimits: { ...FEED_LIMITS, maxSubscribers: MOST },
  })
  url = new URL(await listen(app))
})
afterEach(() => app.close())

const request = `GET /v1/changes HTTP/1.1\r\nHost: x\r\nAuthorization: ${bearer(keys.follower).authorization}\r\nAccept: text/event-stream\r\n\r\n`

/** Follows the feed; returns once the head of the answer is there. */
async function follow(): Promise<{ socket: Socket; answer: string }> {
  const socket = connect(Number(url.port), url.hostname)
  socket.on('error', () => {})
  socket.write(request)
  const [chunk] = await once(socket, 'data')
  return { socket: socket.resume(), answer: String(chunk) }
}

async function followMany(count: number): Promise<Socket[]> {
  const sockets: Socket[] = []
  while (sockets.length < count) {
    const some = await Promise.all(Array.from({ length: 100 }, follow))
    expect(some.every(({ answer }) => answer.startsWith('HTTP/1.1 200'))).toBe(true)
    sockets.push(...some.map(({ socket }) => socket))
  }
  return sockets
}

test('rejects subscribers beyond the limit, until one disconnects', async () => {
  const sockets = await followMany(MOST)
  const refused = await follow()
  expect(refused.answer).toMatch(/^HTTP\/1\.1 503 /)
  expect(refused.answer).toMatch(/retry-after: 5/i)
  expect(refused.answer).toContain('last-logout api')
  refused.socket.destroy()

  // The other requests go on.
  const page = await fetch(new URL('/v1/changes', url), { headers: bearer(keys.follower) })
  expect(page.status).toBe(200)

  sockets.pop()?.destroy()
  const isLetIn = async () => {
    const { socket, answer } = await follow()
    sockets.push(socket)
    return answer.slice(9, 12)
  }
  await expect.poll(isLetIn, { timeout: 10_000 }).toBe('200')
  for (const socket of sockets) socket.destroy()
}, 60_000)

test('whoever hangs up at once takes no room for good', async () => {
  for (let round = 0; round < 6; round++) {
    await Promise.all(
      Array.from({ length: 100 }, async () => {
        const socket = connect(Number(url.port), url.hostname)
        socket.on('error', () => {})
        socket.end(request)
        socket.destroySoon()
        await once(socket, 'close')
      }),
    )
  }
  const sockets = await followMany(MOST)
  for (const socket of sockets) socket.destroy()
}, 60_000)
