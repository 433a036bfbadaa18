import { expect, test } from 'vitest'
import { createFeed, FEED_LIMITS } from '../../src/http/feed.js'
import type { ChangesPage, ChangesQuery } from '../../src/ports.js'

const page = (cursor: string): ChangesPage => ({
  changes: [],
  cursor,
  asOf: 1,
  now: 1,
  more: false,
})

test('ticks every 4 s by default, for at most 2,000 subscribers that read a page within 15 s', () => {
  expect(FEED_LIMITS).toEqual({ tickMs: 4_000, maxSubscribers: 2_000, writeTimeoutMs: 15_000 })
})

test('readers at the same place share a reading, but not its failure', async () => {
  let wake = () => {}
  const asked: ChangesQuery[] = []
  let isDown = false
  const feed = createFeed({
    readChanges: async (query) => {
      asked.push(query)
      if (isDown) throw new Error('the database is away')
      return page('f.1')
    },
    subscribe: (call) => {
      wake = call
      return () => {}
    },
  })
  const late = feed.follow({ after: null, since: null })
  await late.next()
  const readers = [1, 2].map(() => feed.follow({ after: null, since: null }))
  const next = () => Promise.allSettled(readers.map((reader) => reader.next()))
  await next()
  expect(asked).toHaveLength(3)

  const waiting = next()
  wake()
  expect(await waiting).toMatchObject([{ status: 'fulfilled' }, { status: 'fulfilled' }])
  expect(asked).toHaveLength(4)

  isDown = true
  const failing = next()
  wake()
  expect(await failing).toMatchObject([{ status: 'rejected' }, { status: 'rejected' }])
  isDown = false
  expect(await late.next()).toMatchObject({ value: { cursor: 'f.1' } })
  feed.close()
})
