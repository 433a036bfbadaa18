import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { LogSource } from '../../src/ports.js'
import { findGap, type Gap } from '../../src/rules/gap.js'
import { type StoredProgress, toProgress } from '../../src/rules/progress.js'
import { buildLogId } from '../../src/simulator/log-id.js'
import { recordGap } from '../../src/sync/gaps.js'
import { createMemoryStore } from '../_support/memory-store.js'

const DAY_MS = 86_400_000
const NOW = Date.UTC(2026, 10, 25)

/** Random tenants. */
const tenants = fc.record({
  /** The storage times of the entries. */
  entries: fc.array(fc.integer({ min: NOW - 40 * DAY_MS, max: NOW - 1 }), { maxLength: 30 }),
  retentionMs: fc.constantFrom(DAY_MS, 5 * DAY_MS, 10 * DAY_MS, 30 * DAY_MS),
  /** The log has been read up to this instant. */
  readTo: fc.integer({ min: NOW - 35 * DAY_MS, max: NOW }),
})

test('a gap contains all entries that were deleted before they were read, and no other entries', () => {
  fc.assert(
    fc.property(tenants, ({ entries, retentionMs, readTo }) => {
      const sortedEntries = [...entries].sort((a, b) => a - b)
      const retainedEntries = sortedEntries.filter((at) => at >= NOW - retentionMs)
      const lostEntries = sortedEntries.filter((at) => at >= readTo && at < NOW - retentionMs)
      const lastReadAt = sortedEntries.filter((at) => at < readTo).at(-1)
      const progress = createProgress(readTo, lastReadAt)
      const gap = findGap(toProgress(progress), {
        oldestAt: retainedEntries[0] ?? null,
        requestedAt: NOW,
      })
      for (const at of lostEntries) expect(gap && gap.from <= at && at < gap.to).toBe(true)
      const isLastReadRetained = lastReadAt !== undefined && lastReadAt >= NOW - retentionMs
      if (isLastReadRetained && readTo >= NOW - retentionMs) expect(gap).toBeNull()
      if (readTo >= NOW - DAY_MS) expect(gap).toBeNull()
      expect(gap === null || (gap.from >= readTo && gap.to <= (retainedEntries[0] ?? NOW))).toBe(
        true,
      )
    }),
    { numRuns: 2_000 },
  )
})

test('there is no gap if only the checkpoint of a quiet tenant was deleted', () => {
  const progress = createProgress(NOW - 1_000, NOW - 3 * DAY_MS)
  expect(findGap(toProgress(progress), { oldestAt: NOW - 500, requestedAt: NOW })).toBeNull()
  expect(findGap(toProgress(progress), { oldestAt: null, requestedAt: NOW })).toBeNull()
})

test('there is a gap if a recent entry was deleted, even after a short outage', () => {
  const progress = createProgress(NOW - 1_000, NOW - 2_000)
  const gap = { from: NOW - 1_000, to: NOW - 500, reason: 'retention' }
  expect(findGap(toProgress(progress), { oldestAt: NOW - 500, requestedAt: NOW })).toEqual(gap)
})

test('a gap at the first start ends where the unsearched span ends', () => {
  const sweep = { from: NOW - 31 * DAY_MS, to: NOW - 29 * DAY_MS }
  const progress = { ...createProgress(NOW, undefined), asOf: null, sweep }
  const retainedEntries = { oldestAt: NOW - 10 * DAY_MS, requestedAt: NOW }
  expect(findGap(toProgress(progress), retainedEntries)).toEqual({ ...sweep, reason: 'cold_start' })
})

test('there is a gap even if the time in the checkpoint is in the future', () => {
  const progress = {
    ...createProgress(NOW - 3 * DAY_MS, undefined),
    checkpoint: buildLogId('900', NOW + DAY_MS, 1),
  }
  const retainedEntries = { oldestAt: NOW - DAY_MS, requestedAt: NOW }
  expect(findGap(toProgress(progress), retainedEntries)).toMatchObject({
    from: NOW - 3 * DAY_MS,
    to: NOW - DAY_MS,
  })
})

/** Creates the progress of a tenant whose log has been read up to `readTo`. `lastReadAt`: the time of the last entry. */
function createProgress(readTo: number, lastReadAt: number | undefined): StoredProgress {
  return {
    checkpoint: lastReadAt === undefined ? null : buildLogId('900', lastReadAt, 1),
    asOf: readTo,
    sweep: null,
    floorAt: null,
    lastPollAt: null,
    reconciledTo: null,
    now: NOW,
  }
}

test('a gap never ends after now, even if a log id of another layout seems to contain a time in the future', async () => {
  const gaps: Gap[] = []
  const store = { ...createMemoryStore(), storeGap: async (gap: Gap) => gaps.push(gap) > 0 }
  const entries = [{ log_id: buildLogId('900', Date.UTC(2150, 0, 1), 1) }]
  const source = {
    readOldest: async () => ({ entries, requestedAt: NOW }),
    readPage: async () => ({ entries, requestedAt: NOW, next: '' }),
  } satisfies Partial<LogSource> as unknown as LogSource
  const search = {
    progress: toProgress(createProgress(NOW - 2 * DAY_MS, undefined)),
    firstAt: null,
    onGap: 'record',
  } as const
  await recordGap({ source, store, types: new Set() }, search, new AbortController().signal)
  expect(gaps).toEqual([{ from: NOW - 2 * DAY_MS, to: NOW, reason: 'retention' }])
})
