import { expect, test } from 'vitest'
import { createFeed, FEED_LIMITS } from '../../src/http/feed.js'
import type { ChangesPage, ChangesQuery } from '../../src/rules/change-feed.js'

const page = (cursor: string): ChangesPage => ({
  changes: [],
  cursor,
  asOf: 1,
  now: 1,
  more: false,
})

test('by default sends a heartbeat every 4 s, to at most 2,000 subscribers that read a page within 15 s', () => {
  expect(FEED_LIMITS).toEqual({
    heartbeatIntervalMs: 4_000,
    maxSubscribers: 2_000,
    writeTimeoutMs: 15_000,
  })
})

test('subscribers with the same cursor share a query, but a failed query is not cached', async () => {
  let wake = () => {}
  const queries: ChangesQuery[] = []
  let isDown = false
  const feed = createFeed({
    readChanges: async (query) => {
      queries.push(query)
      if (isDown) throw new Error('the database is unavailable')
      return page('f.1')
    },
    subscribe: (call) => {
      wake = call
      return () => {}
    },
  })
  const first = feed.stream({ after: null, since: null })
  await first.next()
  const subscribers = [1, 2].map(() => feed.stream({ after: null, since: null }))
  const next = () => Promise.allSettled(subscribers.map((pages) => pages.next()))
  await next()
  expect(queries).toHaveLength(3)

  const waiting = next()
  wake()
  expect(await waiting).toMatchObject([{ status: 'fulfilled' }, { status: 'fulfilled' }])
  expect(queries).toHaveLength(4)

  isDown = true
  const failing = next()
  wake()
  expect(await failing).toMatchObject([{ status: 'rejected' }, { status: 'rejected' }])
  isDown = false
  expect(await first.next()).toMatchObject({ value: { cursor: 'f.1' } })
  feed.close()
})
