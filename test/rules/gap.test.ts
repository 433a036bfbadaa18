import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { LogSource } from '../../src/ports.js'
import { findGap, findSweepGap, type Gap } from '../../src/rules/gap.js'
import { DAY_MS, HOUR_MS } from '../../src/rules/instant.js'
import { type StoredProgress, toProgress } from '../../src/rules/progress.js'
import { buildLogId } from '../../src/simulator/log-id.js'
import { recordGap } from '../../src/sync/gaps.js'
import { createMemoryStore } from '../_support/memory-store.js'

// A gap is a span of the log that Auth0 deleted before last-logout read it. `findGap` compares how far the log has been
// read with the oldest entry that Auth0 still retains.

const NOW = Date.UTC(2026, 10, 25)

/** Builds the log id of an entry that Auth0 stored at this instant. */
const logIdAt = (storedAt: number) => buildLogId('900', storedAt, 1)

/**
 * Creates the progress of a tenant whose log has been read up to `readTo`.
 *
 * @param lastReadAt The storage time of the last entry that was read. Its log id is the checkpoint.
 */
function createProgress({
  readTo,
  lastReadAt,
}: {
  readTo: number
  lastReadAt: number | undefined
}): StoredProgress {
  return {
    checkpoint: lastReadAt === undefined ? null : logIdAt(lastReadAt),
    asOf: readTo,
    sweep: null,
    floorAt: null,
    lastPollAt: null,
    reconciledTo: null,
    now: NOW,
  }
}

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
      const retainedFrom = NOW - retentionMs
      const sortedEntries = [...entries].sort((a, b) => a - b)
      const oldestAt = sortedEntries.find((at) => at >= retainedFrom) ?? null
      const lostEntries = sortedEntries.filter((at) => at >= readTo && at < retainedFrom)
      const lastReadAt = sortedEntries.filter((at) => at < readTo).at(-1)
      const progress = createProgress({ readTo, lastReadAt })
      const gap = findGap(toProgress(progress), { oldestAt, requestedAt: NOW })
      for (const at of lostEntries) expect(gap && gap.from <= at && at < gap.to).toBe(true)
      const isLastReadRetained = lastReadAt !== undefined && lastReadAt >= retainedFrom
      if (isLastReadRetained && readTo >= retainedFrom) expect(gap).toBeNull()
      // Auth0 retains every entry for at least a day.
      if (readTo >= NOW - DAY_MS) expect(gap).toBeNull()
      if (gap !== null) {
        expect(gap.from).toBeGreaterThanOrEqual(readTo)
        expect(gap.to).toBeLessThanOrEqual(oldestAt ?? NOW)
      }
    }),
    { numRuns: 2_000 },
  )
})

test('there is no gap if Auth0 has deleted only the entry of the checkpoint, which was read', () => {
  const progress = createProgress({ readTo: NOW - 1_000, lastReadAt: NOW - 3 * DAY_MS })
  expect(findGap(toProgress(progress), { oldestAt: NOW - 500, requestedAt: NOW })).toBeNull()
  expect(findGap(toProgress(progress), { oldestAt: null, requestedAt: NOW })).toBeNull()
})

test('there is a gap if a recent entry was deleted, even after a short outage', () => {
  const progress = createProgress({ readTo: NOW - 1_000, lastReadAt: NOW - 2_000 })
  const gap = { from: NOW - 1_000, to: NOW - 500, reason: 'retention' }
  expect(findGap(toProgress(progress), { oldestAt: NOW - 500, requestedAt: NOW })).toEqual(gap)
})

test('a gap at the first start ends where the unsearched span ends', () => {
  const unsearchedSpan = { from: NOW - 31 * DAY_MS, to: NOW - 29 * DAY_MS }
  const progress = {
    ...createProgress({ readTo: NOW, lastReadAt: undefined }),
    asOf: null,
    sweep: unsearchedSpan,
  }
  const gap = findGap(toProgress(progress), { oldestAt: NOW - 10 * DAY_MS, requestedAt: NOW })
  expect(gap).toEqual({ ...unsearchedSpan, reason: 'cold_start' })
})

/** Finds the gap of a first start at `startedAt`, in the part of its sweep from 26 to 22 hours ago. */
function findStartGap(oldestAt: number | null, startedAt: number, recorded: Gap | null) {
  const progress = toProgress({
    ...createProgress({ readTo: NOW, lastReadAt: NOW }),
    asOf: null,
    sweep: { from: NOW - 31 * DAY_MS, to: NOW - 22 * HOUR_MS },
    reconciledTo: startedAt,
  })
  const part = { searchedTo: NOW - 22 * HOUR_MS, recorded }
  return findSweepGap(progress, { oldestAt, requestedAt: NOW }, part)
}

const RECORDED: Gap = { from: NOW - 31 * DAY_MS, to: NOW - 25 * HOUR_MS, reason: 'cold_start' }

test.each([
  { oldestAt: NOW - 25 * HOUR_MS, to: null },
  { oldestAt: NOW - 24 * HOUR_MS, to: NOW - 24 * HOUR_MS },
  // The oldest entry is recent, because the tenant was quiet. Entries that were stored before have been deleted.
  { oldestAt: NOW - 10 * HOUR_MS, to: NOW - 22 * HOUR_MS },
  { oldestAt: null, to: null },
])(
  'a recorded gap of a first start is extended to the oldest entry, but not beyond the searched part: $oldestAt, $to',
  ({ oldestAt, to }) => {
    const gap = findStartGap(oldestAt, NOW - HOUR_MS, RECORDED)
    expect(gap).toEqual(to === null ? null : { ...RECORDED, to })
  },
)

test('a tenant that was new at the first start has no gap, unless its sweep lasts so long that entries can be deleted', () => {
  const isFound = (oldestHours: number, startedHours: number) =>
    findStartGap(NOW - oldestHours * HOUR_MS, NOW - startedHours * HOUR_MS, null) !== null
  expect(isFound(15, 4)).toBe(false)
  expect(isFound(17, 4)).toBe(true)
  expect(isFound(15, 13)).toBe(true)
})

test('there is a gap even if the time in the checkpoint is in the future', () => {
  const progress = createProgress({ readTo: NOW - 3 * DAY_MS, lastReadAt: NOW + DAY_MS })
  const gap = findGap(toProgress(progress), { oldestAt: NOW - DAY_MS, requestedAt: NOW })
  expect(gap).toMatchObject({ from: NOW - 3 * DAY_MS, to: NOW - DAY_MS })
})

test('a gap never ends after now, even if a log id of another layout seems to contain a time in the future', async () => {
  const gaps: Gap[] = []
  const storeGap = async (gap: Gap) => {
    gaps.push(gap)
    return true
  }
  const store = { ...createMemoryStore(), storeGap }
  const entries = [{ log_id: logIdAt(Date.UTC(2150, 0, 1)) }]
  const source = {
    readOldest: async () => ({ entries, requestedAt: NOW }),
    readPage: async () => ({ entries, requestedAt: NOW, next: '' }),
  } satisfies Partial<LogSource> as unknown as LogSource
  const search = {
    progress: toProgress(createProgress({ readTo: NOW - 2 * DAY_MS, lastReadAt: undefined })),
    firstAt: null,
    onGap: 'record',
  } as const
  await recordGap({ source, store, types: new Set() }, search, new AbortController().signal)
  expect(gaps).toEqual([{ from: NOW - 2 * DAY_MS, to: NOW, reason: 'retention' }])
})
