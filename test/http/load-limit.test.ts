import { afterEach, beforeEach, expect, test } from 'vitest'
import { FEED_LIMITS } from '../../src/http/feed.js'
import { bearer, failIfCalled, keys, listenOnLoopback, openApi } from '../_support/api.js'

// A load is the first reading of a subscriber. All loads share a few queries at a time, so that many loads leave
// connections to the database for other requests.

const MAX_CONCURRENT_LOADS = 2
const MAX_LOAD_WAIT_MS = 50

/** Each function ends a query of the feed. */
let pendingQueries: (() => void)[] = []
let app: Awaited<ReturnType<typeof openApi>>
let url: string
beforeEach(async () => {
  pendingQueries = []
  app = await openApi({
    readKnownLogouts: failIfCalled,
    readProgress: failIfCalled,
    readChanges: () =>
      new Promise((resolve) => {
        const page = { changes: [], cursor: 'c', asOf: null, now: 0, more: false }
        pendingQueries.push(() => resolve(page))
      }),
    storeReported: failIfCalled,
    feedLimits: {
      ...FEED_LIMITS,
      maxConcurrentLoads: MAX_CONCURRENT_LOADS,
      maxLoadWaitMs: MAX_LOAD_WAIT_MS,
    },
  })
  url = await listenOnLoopback(app)
})
afterEach(async () => {
  const closed = app.close()
  endQueries()
  await closed
})

const endQueries = () => {
  for (const end of pendingQueries.splice(0)) end()
}
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

/** Requests the feed as a stream, or a page of it. Resolves with the response when the response begins. */
function request(accept: 'text/event-stream' | 'application/json', signal?: AbortSignal) {
  const headers = { ...bearer(keys.subscriber), accept }
  return fetch(`${url}/v1/changes`, { headers, ...(signal && { signal }) })
}
const subscribe = (signal?: AbortSignal) => request('text/event-stream', signal)
/** Starts this number of subscriptions. Resolves when the greatest number of queries is running. */
async function startSubscriptions(count: number) {
  const subscriptions = Array.from({ length: count }, () => subscribe())
  await expect.poll(() => pendingQueries.length).toBe(MAX_CONCURRENT_LOADS)
  return subscriptions
}

test('the queries of loads run two at a time, if that is the limit, and each subscriber gets its page', async () => {
  const subscriptions = await startSubscriptions(5)
  await sleep(MAX_LOAD_WAIT_MS)
  for (const running of [2, 2, 1]) {
    await expect.poll(() => pendingQueries.length).toBe(running)
    endQueries()
  }
  const responses = await Promise.all(subscriptions)
  expect(responses.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200])
  await Promise.all(responses.map(({ body }) => body?.cancel()))
})

test('while loads wait too long, further subscribers and pages are refused with 503, and later they are served', async () => {
  const subscriptions = await startSubscriptions(6)
  await sleep(2 * MAX_LOAD_WAIT_MS)
  endQueries()
  await expect.poll(() => pendingQueries.length).toBe(MAX_CONCURRENT_LOADS)
  for (const accept of ['text/event-stream', 'application/json'] as const) {
    const response = await request(accept)
    expect(response.status).toBe(503)
    expect(response.headers.get('retry-after')).toBe('5')
    await expect(response.json()).resolves.toMatchObject({
      message: expect.stringContaining('retry later'),
    })
  }
  endQueries()
  await expect.poll(() => pendingQueries.length).toBe(MAX_CONCURRENT_LOADS)
  endQueries()
  const responses = await Promise.all(subscriptions)
  expect(responses.every(({ status }) => status === 200)).toBe(true)
  const next = request('application/json')
  await expect.poll(() => pendingQueries.length).toBe(1)
  endQueries()
  expect((await next).status).toBe(200)
  await Promise.all(responses.map(({ body }) => body?.cancel()))
})

test('no query runs for a subscriber that left while its load waited', async () => {
  await startSubscriptions(MAX_CONCURRENT_LOADS)
  const controller = new AbortController()
  const left = subscribe(controller.signal)
  await sleep(MAX_LOAD_WAIT_MS)
  controller.abort()
  await expect(left).rejects.toThrow()
  await sleep(MAX_LOAD_WAIT_MS)
  endQueries()
  await sleep(MAX_LOAD_WAIT_MS)
  expect(pendingQueries).toHaveLength(0)
  expect(app.logLines.filter((line) => line.includes('"level":50'))).toEqual([])
})

test('an API that stops refuses a subscriber whose load waits', async () => {
  const subscriptions = await startSubscriptions(MAX_CONCURRENT_LOADS + 1)
  await sleep(MAX_LOAD_WAIT_MS)
  const closed = app.close()
  await sleep(MAX_LOAD_WAIT_MS)
  endQueries()
  const responses = await Promise.all(subscriptions)
  expect(responses.map(({ status }) => status).sort()).toEqual([200, 200, 503])
  await closed
})
