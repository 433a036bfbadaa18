import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { FEED_LIMITS } from '../../src/http/feed.js'
import { bearer, failIfCalled, keys, listenOnLoopback, openApi } from '../_support/api.js'

/** The limit of concurrent subscribers in this test. */
const MAX_SUBSCRIBERS = 200

let app: Awaited<ReturnType<typeof openApi>>
let url: URL
beforeEach(async () => {
  app = await openApi({
    readKnownLogouts: failIfCalled,
    readProgress: failIfCalled,
    readChanges: async () => ({ changes: [], cursor: 'c', asOf: null, now: 0, more: false }),
    storeReported: failIfCalled,
    feedLimits: { ...FEED_LIMITS, maxSubscribers: MAX_SUBSCRIBERS },
  })
  url = new URL(await listenOnLoopback(app))
})
afterEach(() => app.close())

const SUBSCRIBE_REQUEST = `GET /v1/changes HTTP/1.1\r\nHost: x\r\nAuthorization: ${bearer(keys.subscriber).authorization}\r\nAccept: text/event-stream\r\n\r\n`

/** Subscribes to the feed. Resolves when the response begins. */
async function subscribe(): Promise<{ socket: Socket; response: string }> {
  const socket = connect(Number(url.port), url.hostname)
  socket.on('error', () => {})
  socket.write(SUBSCRIBE_REQUEST)
  const [chunk] = await once(socket, 'data')
  return { socket: socket.resume(), response: String(chunk) }
}

/** Opens this number of subscriptions, a hundred at a time. */
async function subscribeMany(count: number): Promise<Socket[]> {
  const sockets: Socket[] = []
  while (sockets.length < count) {
    const subscriptions = await Promise.all(Array.from({ length: 100 }, subscribe))
    expect(subscriptions.every(({ response }) => response.startsWith('HTTP/1.1 200'))).toBe(true)
    sockets.push(...subscriptions.map(({ socket }) => socket))
  }
  return sockets
}

test('the API rejects subscribers beyond the limit until another subscriber disconnects', async () => {
  const sockets = await subscribeMany(MAX_SUBSCRIBERS)
  const rejectedSubscription = await subscribe()
  expect(rejectedSubscription.response).toMatch(/^HTTP\/1\.1 503 /)
  expect(rejectedSubscription.response).toMatch(/retry-after: 5/i)
  expect(rejectedSubscription.response).toContain('another API process')
  rejectedSubscription.socket.destroy()

  // A subscriber beyond the limit can still request a page.
  const pageResponse = await fetch(new URL('/v1/changes', url), {
    headers: bearer(keys.subscriber),
  })
  expect(pageResponse.status).toBe(200)

  sockets.pop()?.destroy()
  const resubscribe = async () => {
    const { socket, response } = await subscribe()
    sockets.push(socket)
    // The status in `HTTP/1.1 200`.
    return response.slice(9, 12)
  }
  await expect.poll(resubscribe, { timeout: 10_000 }).toBe('200')
  for (const socket of sockets) socket.destroy()
}, 60_000)

test('the API does not count subscribers that have disconnected', async () => {
  for (let round = 0; round < 6; round++) {
    await Promise.all(
      Array.from({ length: 100 }, async () => {
        const socket = connect(Number(url.port), url.hostname)
        socket.on('error', () => {})
        socket.end(SUBSCRIBE_REQUEST)
        socket.destroySoon()
        await once(socket, 'close')
      }),
    )
  }
  const sockets = await subscribeMany(MAX_SUBSCRIBERS)
  for (const socket of sockets) socket.destroy()
}, 60_000)
