import { expect, onTestFinished, test, vi } from 'vitest'
import { createPageFormatter } from '../../src/http/event-stream.js'
import { createFeed, FEED_LIMITS } from '../../src/http/feed.js'
import type { ChangesPage, ChangesQuery } from '../../src/rules/change-feed.js'

/** The signal of a subscriber that does not leave. */
const CONNECTED = new AbortController().signal

const createPage = (cursor: string): ChangesPage => ({
  changes: [],
  cursor,
  asOf: 1,
  now: 1,
  more: false,
})

/** Opens a feed on fake timers until the end of the test. Page `n` has the cursor `f.n`. */
function openFeedWithFakeTimers() {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] })
  let notify = () => {}
  let queryCount = 0
  const feed = createFeed({
    readChanges: async () => createPage(`f.${++queryCount}`),
    subscribe: (onNotification) => {
      notify = onNotification
      return () => {}
    },
  })
  onTestFinished(() => {
    feed.close()
    vi.useRealTimers()
  })
  return { feed, notify: () => notify(), countQueries: () => queryCount }
}

test('by default, the heartbeat interval is 4 s, the limits are 2,000 subscribers and three concurrent loads, and the write timeout is 15 s', () => {
  expect(FEED_LIMITS).toEqual({
    heartbeatIntervalMs: 4_000,
    maxSubscribers: 2_000,
    writeTimeoutMs: 15_000,
    maxConcurrentLoads: 3,
    maxLoadWaitMs: 5_000,
  })
})

test('subscribers with the same cursor share a query, but a failed query is not cached', async () => {
  let notify = () => {}
  const queries: ChangesQuery[] = []
  let isUnavailable = false
  const feed = createFeed({
    readChanges: async (query) => {
      queries.push(query)
      if (isUnavailable) throw new Error('the database is unavailable')
      return createPage('f.1')
    },
    subscribe: (onNotification) => {
      notify = onNotification
      return () => {}
    },
  })
  const firstSubscriber = feed.stream({ after: null, since: null }, CONNECTED)
  await firstSubscriber.next()
  const otherSubscribers = [1, 2].map(() => feed.stream({ after: null, since: null }, CONNECTED))
  const readNextPages = () => Promise.allSettled(otherSubscribers.map((pages) => pages.next()))
  await readNextPages()
  // The first reading of each subscriber needs its own query.
  expect(queries).toHaveLength(3)

  const pagesAfterNotification = readNextPages()
  notify()
  expect(await pagesAfterNotification).toMatchObject([
    { status: 'fulfilled' },
    { status: 'fulfilled' },
  ])
  expect(queries).toHaveLength(4)

  isUnavailable = true
  const pagesDuringOutage = readNextPages()
  notify()
  expect(await pagesDuringOutage).toMatchObject([{ status: 'rejected' }, { status: 'rejected' }])
  isUnavailable = false
  expect(await firstSubscriber.next()).toMatchObject({ value: { cursor: 'f.1' } })
  feed.close()
})

test('the first notification causes a query at once, and all notifications in the next 25 ms cause one more query', async () => {
  const { feed, notify, countQueries } = openFeedWithFakeTimers()
  const pages = feed.stream({ after: null, since: null }, CONNECTED)
  await pages.next()
  const secondPage = pages.next()
  notify()
  expect(await secondPage).toMatchObject({ value: { cursor: 'f.2' } })
  const thirdPage = pages.next()
  notify()
  notify()
  await vi.advanceTimersByTimeAsync(24)
  expect(countQueries()).toBe(2)
  await vi.advanceTimersByTimeAsync(1)
  expect(await thirdPage).toMatchObject({ value: { cursor: 'f.3' } })
  const fourthPage = pages.next()
  await vi.advanceTimersByTimeAsync(25)
  expect(countQueries()).toBe(3)
  notify()
  expect(await fourthPage).toMatchObject({ value: { cursor: 'f.4' } })
})

test('a heartbeat causes a query 4 s after the last wake-up', async () => {
  const { feed, notify, countQueries } = openFeedWithFakeTimers()
  const pages = feed.stream({ after: null, since: null }, CONNECTED)
  await pages.next()
  const secondPage = pages.next()
  await vi.advanceTimersByTimeAsync(3_000)
  notify()
  expect(await secondPage).toMatchObject({ value: { cursor: 'f.2' } })
  const thirdPage = pages.next()
  await vi.advanceTimersByTimeAsync(3_999)
  expect(countQueries()).toBe(2)
  await vi.advanceTimersByTimeAsync(1)
  expect(await thirdPage).toMatchObject({ value: { cursor: 'f.3' } })
})

test('a page for several subscribers is formatted once', () => {
  const format = createPageFormatter('session')
  const sharedPage = createPage('f.1')
  expect(format(sharedPage)).toBe(format(sharedPage))
  expect(format(createPage('f.2')).toString()).toMatch(/^event: freshness\nid: f\.2\ndata: \{/)
})

test('while a subscriber receives a page of the load, the next page is read; the last page is read again when the subscriber requests it', async () => {
  const queries: ChangesQuery[] = []
  const readCursors = () => queries.map(({ after }) => after)
  let now = 1
  const feed = createFeed({
    readChanges: async (query) => {
      queries.push(query)
      const page = Number(query.after ?? 0) + 1
      return { ...createPage(`${page}`), now, more: page < 3 }
    },
    subscribe: () => () => {},
  })
  const pages = feed.stream({ after: null, since: 5, inColumns: true }, CONNECTED)
  expect(await pages.next()).toMatchObject({ value: { cursor: '1' } })
  expect(readCursors()).toEqual([null, '1'])
  expect(await pages.next()).toMatchObject({ value: { cursor: '2' } })
  expect(readCursors()).toEqual([null, '1', '2'])
  now = 2
  expect(await pages.next()).toMatchObject({ value: { cursor: '3', now: 2 } })
  expect(readCursors()).toEqual([null, '1', '2', '2'])
  for (const query of queries) expect(query).toMatchObject({ since: 5, inColumns: true })
  feed.close()
})

test('a notification during the last reading of a load causes another query at once', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] })
  onTestFinished(() => void vi.useRealTimers())
  let notify = () => {}
  let queryCount = 0
  const feed = createFeed({
    readChanges: async () => {
      const query = ++queryCount
      // Query 3 reads the last page again. The notification arrives before the subscriber has this page.
      if (query === 3) notify()
      return { ...createPage(`f.${query}`), more: query === 1 }
    },
    subscribe: (onNotification) => {
      notify = onNotification
      return () => {}
    },
  })
  const pages = feed.stream({ after: null, since: null }, CONNECTED)
  await pages.next()
  expect(await pages.next()).toMatchObject({ value: { cursor: 'f.3' } })
  expect(await pages.next()).toMatchObject({ value: { cursor: 'f.4' } })
  feed.close()
})

test.each([
  // Clients reject an event of more than a million characters.
  [900_000, [true]],
  [900_001, [true, false]],
])(
  'a page whose columns have %i characters is read with these values of `inColumns`: %j',
  async (length, forms) => {
    const queries: ChangesQuery[] = []
    const feed = createFeed({
      readChanges: async (query) => {
        queries.push(query)
        return { ...createPage('f.1'), ...(query.inColumns && { columns: 'x'.repeat(length) }) }
      },
      subscribe: () => () => {},
    })
    const pages = feed.stream({ after: null, since: 5, inColumns: true }, CONNECTED)
    const { value: page } = await pages.next()
    expect(queries.map(({ inColumns }) => inColumns)).toEqual(forms)
    expect(queries.every(({ since }) => since === 5)).toBe(true)
    expect(page?.columns === undefined).toBe(forms.length > 1)
    feed.close()
  },
)

test('a subscriber that disconnects during a failing read causes no unhandled rejection', async () => {
  let readCount = 0
  const feed = createFeed({
    readChanges: async () => {
      if (++readCount > 1) throw new Error('the database is unavailable')
      return { ...createPage('f.1'), more: true }
    },
    subscribe: () => () => {},
  })
  // Vitest fails a run with an unhandled rejection.
  const pages = feed.stream({ after: null, since: null }, CONNECTED)
  await pages.next()
  await pages.return(null)
  expect(readCount).toBe(2)
  feed.close()
})
