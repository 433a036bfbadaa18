import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { LogSource } from '../../src/ports.js'
import { findGap, type Gap } from '../../src/rules/gap.js'
import { type StoredProgress, toProgress } from '../../src/rules/progress.js'
import { buildLogId } from '../../src/simulator/log-id.js'
import { recordGap } from '../../src/sync/gaps.js'
import { createMemoryStore } from '../_support/memory-store.js'

const DAY = 86_400_000
const NOW = Date.UTC(2026, 10, 25)

/** Random tenants: when entries were stored, how long the plan retains them, and until when the log was polled. */
const lives = fc.record({
  entries: fc.array(fc.integer({ min: NOW - 40 * DAY, max: NOW - 1 }), { maxLength: 30 }),
  retentionMs: fc.constantFrom(DAY, 5 * DAY, 10 * DAY, 30 * DAY),
  readTo: fc.integer({ min: NOW - 35 * DAY, max: NOW }),
})

test('a gap covers all entries that were deleted before they were read, and there is no gap if none can have been deleted', () => {
  fc.assert(
    fc.property(lives, ({ entries, retentionMs, readTo }) => {
      const stored = [...entries].sort((a, b) => a - b)
      const retained = stored.filter((at) => at >= NOW - retentionMs)
      const lost = stored.filter((at) => at >= readTo && at < NOW - retentionMs)
      const last = stored.filter((at) => at < readTo).at(-1)
      const progress = read(readTo, last)
      const gap = findGap(toProgress(progress), { oldestAt: retained[0] ?? null, requestedAt: NOW })
      for (const at of lost) expect(gap && gap.from <= at && at < gap.to).toBe(true)
      if (readTo >= NOW - retentionMs && last !== undefined && last >= NOW - retentionMs) {
        // The log still holds the last entry that was read.
        expect(gap).toBeNull()
      }
      if (readTo >= NOW - DAY) expect(gap).toBeNull()
      // A gap includes neither entries that have been read, nor entries that can still be read.
      expect(gap === null || (gap.from >= readTo && gap.to <= (retained[0] ?? NOW))).toBe(true)
    }),
    { numRuns: 2_000 },
  )
})

test('a deleted checkpoint of a quiet tenant is no gap', () => {
  const progress = read(NOW - 1_000, NOW - 3 * DAY)
  expect(findGap(toProgress(progress), { oldestAt: NOW - 500, requestedAt: NOW })).toBeNull()
  expect(findGap(toProgress(progress), { oldestAt: null, requestedAt: NOW })).toBeNull()
})

test('the deletion of an entry from today causes a gap, even after a short outage', () => {
  const progress = read(NOW - 1_000, NOW - 2_000)
  const gap = { from: NOW - 1_000, to: NOW - 500, reason: 'retention' }
  expect(findGap(toProgress(progress), { oldestAt: NOW - 500, requestedAt: NOW })).toEqual(gap)
})

test('a gap at a first start ends at the instant down to which the sweep has read', () => {
  const sweep = { from: NOW - 31 * DAY, to: NOW - 29 * DAY }
  const progress = { ...read(NOW, undefined), asOf: null, sweep }
  const retained = { oldestAt: NOW - 10 * DAY, requestedAt: NOW }
  expect(findGap(toProgress(progress), retained)).toEqual({ ...sweep, reason: 'cold_start' })
})

test('a checkpoint with a future time hides no gap', () => {
  const progress = {
    ...read(NOW - 3 * DAY, undefined),
    checkpoint: buildLogId('900', NOW + DAY, 1),
  }
  const retained = { oldestAt: NOW - DAY, requestedAt: NOW }
  expect(findGap(toProgress(progress), retained)).toMatchObject({
    from: NOW - 3 * DAY,
    to: NOW - DAY,
  })
})

function read(readTo: number, last: number | undefined): StoredProgress {
  return {
    checkpoint: last === undefined ? null : buildLogId('900', last, 1),
    asOf: readTo,
    sweep: null,
    floorAt: null,
    lastPollAt: null,
    reconciledTo: null,
    now: NOW,
  }
}

test('a gap never ends after now, even if a log id of another layout is read as a time in the future', async () => {
  const gaps: Gap[] = []
  const store = { ...createMemoryStore(), storeGap: async (gap: Gap) => gaps.push(gap) > 0 }
  const entries = [{ log_id: buildLogId('900', Date.UTC(2150, 0, 1), 1) }]
  const source = {
    readOldest: async () => ({ entries, requestedAt: NOW }),
    readPage: async () => ({ entries, requestedAt: NOW, next: '' }),
  } satisfies Partial<LogSource> as unknown as LogSource
  const search = {
    progress: toProgress(read(NOW - 2 * DAY, undefined)),
    firstAt: null,
    onGap: 'record',
  } as const
  await recordGap({ source, store, types: new Set() }, search, new AbortController().signal)
  expect(gaps).toEqual([{ from: NOW - 2 * DAY, to: NOW, reason: 'retention' }])
})
