import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type LastLogoutStore, type LogSource, PAGE_SIZE } from '../../src/ports.js'
import { syntheticLogId } from '../../src/rules/log-id.js'
import { catchUp } from '../../src/sync/catch-up.js'
import { createProgressGuard } from '../../src/sync/progress-guard.js'
import { createMemoryStore } from '../_support/memory-store.js'
import { LOGOUT_TYPES } from '../_support/poll.js'

// A catch-up reads pages from the checkpoint (a log id) to the end of the log. It then sets `as_of`, the instant up to
// which the log is known to have been read. A catch-up ends at an empty page, or at a page that is not full and whose
// last entry is recent: Auth0 stored it at most a second before the catch-up began.

const NOW = Date.UTC(2026, 10, 23, 12)
const { signal } = new AbortController()

/** The checkpoint and `as_of` before a catch-up. */
const START = { checkpoint: syntheticLogId(NOW - 60_000), asOf: NOW - 60_000 }

/** A log with its own clock, which only requests and `advance` move. An entry is visible from its storage time on. */
interface SimulatedLog {
  source: LogSource
  now(): number
  advance(ms: number): void
  /** Returns the storage times of the entries that no page has contained. */
  unreadStoredAts(): number[]
  requestCount(): number
}

interface LogOptions {
  /** The duration of a request, in milliseconds. */
  latencyMs?: number
  /** The initial time of the clock. */
  startAt?: number
  /** Returns the maximum number of entries in the next page. */
  maxEntries?: () => number
}

/** Simulates a log whose entries are stored at these times. As at Auth0, the time of a response is in whole seconds. */
function simulateLog(
  storedAts: number[],
  { latencyMs = 200, startAt = NOW, maxEntries = () => PAGE_SIZE }: LogOptions = {},
): SimulatedLog {
  const sortedStoredAts = storedAts.toSorted((a, b) => a - b)
  // The last six digits make the ids of entries with the same storage time unique.
  const ids = sortedStoredAts.map(
    (at, index) => syntheticLogId(at).slice(0, -6) + `${index + 1}`.padStart(6, '0'),
  )
  let now = startAt
  let requests = 0
  let lastReadId = syntheticLogId(0)
  const unused = async (): Promise<never> => {
    throw new Error('a catch-up only reads pages')
  }
  const readPage: LogSource['readPage'] = async (from) => {
    requests += 1
    now += latencyMs
    const isVisible = (index: number) => (sortedStoredAts[index] ?? 0) <= now
    const page = ids.filter((id, index) => id > from && isVisible(index)).slice(0, maxEntries())
    const next = page.at(-1) ?? from
    if (next > lastReadId) lastReadId = next
    const entries = page.map((log_id) => ({ log_id, type: 's' }))
    // The header `Date` of the response, from which the time of the request is calculated.
    const dateOfResponse = Math.floor(now / 1_000) * 1_000
    return { entries, next, requestedAt: dateOfResponse - latencyMs }
  }
  return {
    source: {
      readPage,
      search: unused,
      readNewest: unused,
      readOldest: unused,
      awaitSpareBudget: unused,
    },
    now: () => now,
    advance: (ms) => {
      now += ms
    },
    unreadStoredAts: () => sortedStoredAts.filter((_, index) => (ids[index] ?? '') > lastReadId),
    requestCount: () => requests,
  }
}

/** Creates a store. `run` catches up once, and `readAsOf` reads the `as_of` of the store. */
function openCatchUp({ source }: SimulatedLog, store = createMemoryStore(START)) {
  return {
    readAsOf: async () => (await store.readProgress()).asOf ?? Number.NaN,
    run: () =>
      createProgressGuard().run(store.readProgress, signal, (startLoop) =>
        catchUp({ source, store, types: LOGOUT_TYPES, startLoop }, signal),
      ),
  }
}

/** Returns the times at this interval from `from` until shortly before `to`. */
function timesBetween(from: number, to: number, intervalMs: number): number[] {
  const length = (to - from) / intervalMs
  return Array.from({ length }, (_, index) => from + index * intervalMs)
}

test('a catch-up stores pages together if they arrive while a page is being stored', async () => {
  // 2,000 entries: 20 full pages.
  const log = simulateLog(timesBetween(NOW - 20_000, NOW, 10), { startAt: NOW })
  const memoryStore = createMemoryStore(START)
  /** The checkpoint from which each stored page was read. Pages that are stored together count as one page. */
  const checkpoints: string[] = []
  const slowStore: LastLogoutStore = {
    ...memoryStore,
    storePage: async (page) => {
      checkpoints.push(page.from)
      // Further pages arrive during this time.
      await new Promise((resolve) => setImmediate(resolve))
      return memoryStore.storePage(page)
    },
  }
  await openCatchUp(log, slowStore).run()
  expect(log.unreadStoredAts()).toEqual([])
  expect(log.requestCount()).toBeGreaterThanOrEqual(20)
  expect(checkpoints.length).toBeLessThan(10)
  expect(checkpoints, 'no page is stored twice').toEqual([...new Set(checkpoints)])
})

describe('the end of the log', () => {
  test.each([0, 250, 500, 750, 999])(
    'a catch-up that begins %d ms after a full second reads the entries of 5 s, 50 per second, with three requests',
    async (offsetMs) => {
      const startAt = NOW + offsetMs
      // Two pages are full. The third page is not full, and its last entry is recent, because entries are also stored
      // during the catch-up.
      const storedAts = timesBetween(startAt - 5_000, startAt + 10_000, 20)
      const log = simulateLog(storedAts, { startAt })
      const { run, readAsOf } = openCatchUp(log)
      await run()
      expect(log.requestCount()).toBe(3)
      expect(await readAsOf()).toBeGreaterThan(startAt - 2_000)
    },
  )

  // A short page is a page that is not full. More entries can follow a short page.

  test('a catch-up ends at a short page with a recent last entry, and as_of is the storage time of this entry', async () => {
    const log = simulateLog([NOW - 5_000, NOW - 1_100], { startAt: NOW })
    const { run, readAsOf } = openCatchUp(log)
    await run()
    expect(log.requestCount()).toBe(1)
    expect(await readAsOf()).toBe(NOW - 1_100)
  })

  test('a catch-up continues after a short page with an older last entry, and ends at an empty page', async () => {
    const log = simulateLog([NOW - 5_000, NOW - 2_100], { startAt: NOW })
    const { run, readAsOf } = openCatchUp(log)
    await run()
    expect(log.requestCount()).toBe(2)
    // `as_of` is the time of the second request, which can be calculated up to a second too early.
    expect(await readAsOf()).toBeGreaterThan(NOW - 1_001)
  })

  test('a catch-up reads the log to its end, even if every second page is short', async () => {
    let pages = 0
    const log = simulateLog(timesBetween(NOW - 50_000, NOW, 100), {
      startAt: NOW,
      maxEntries: () => {
        pages += 1
        return pages % 2 === 0 ? 30 : PAGE_SIZE
      },
    })
    await openCatchUp(log).run()
    expect(log.unreadStoredAts()).toEqual([])
  })

  test('as_of is never after the storage time of an entry that was not read, whichever pages are short', async () => {
    const scenarios = fc.record({
      // Negative numbers: the entry is stored after the first catch-up has begun.
      storedAgoMs: fc.array(fc.integer({ min: -20_000, max: 50_000 }), {
        minLength: 1,
        maxLength: 400,
        size: 'max',
      }),
      // The maximum number of entries of each page.
      pageSizes: fc.infiniteStream(
        fc.oneof(fc.constant(PAGE_SIZE), fc.integer({ min: 1, max: PAGE_SIZE })),
      ),
      latencyMs: fc.integer({ min: 1, max: 700 }),
      // How long after a full second the first catch-up begins.
      offsetMs: fc.integer({ min: 0, max: 999 }),
      // The time after each catch-up, until the next one begins.
      pausesMs: fc.array(fc.integer({ min: 0, max: 6_000 }), { minLength: 1, maxLength: 6 }),
    })
    await fc.assert(
      fc.asyncProperty(scenarios, async (scenario) => {
        const { storedAgoMs, pageSizes, offsetMs, latencyMs, pausesMs } = scenario
        const startAt = NOW + offsetMs
        const log = simulateLog(
          storedAgoMs.map((agoMs) => startAt - agoMs),
          { latencyMs, startAt, maxEntries: () => pageSizes.next().value },
        )
        const { run, readAsOf } = openCatchUp(log)
        for (const pauseMs of pausesMs) {
          const beganAt = log.now()
          await run()
          const asOf = await readAsOf()
          expect(asOf).toBeLessThanOrEqual(Math.min(...log.unreadStoredAts(), log.now()))
          // The header `Date` is up to a second early, and the last entry of a short page can be another second old.
          expect(asOf).toBeGreaterThanOrEqual(beganAt - 2_000)
          log.advance(pauseMs)
        }
      }),
      { numRuns: 200 },
    )
  })
})
