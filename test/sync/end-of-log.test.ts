import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type LastLogoutStore, type LogSource, PAGE_SIZE } from '../../src/ports.js'
import { syntheticLogId } from '../../src/rules/log-id.js'
import { catchUp } from '../../src/sync/catch-up.js'
import { createProgressGuard } from '../../src/sync/progress-guard.js'
import { createMemoryStore } from '../_support/memory-store.js'
import { LOGOUT_TYPES } from '../_support/poll.js'

const NOW = Date.UTC(2026, 10, 23, 12)
const { signal } = new AbortController()

/** A log with its own clock. An entry is visible from its storage time on. */
interface SimulatedLog {
  source: LogSource
  now(): number
  advance(ms: number): void
  /** Returns the storage times of the entries that no page has contained. */
  unreadStoredAts(): number[]
  requestCount(): number
}

/**
 * Simulates a log whose entries are stored at these times. As at Auth0, the time of a response is in whole seconds.
 *
 * @param maxEntries Returns the maximum number of entries in a page.
 */
function simulateLog(
  storedAts: number[],
  { latencyMs = 200, startAt = NOW, maxEntries = (): number => PAGE_SIZE } = {},
): SimulatedLog {
  const sorted = storedAts.toSorted((a, b) => a - b)
  const ids = sorted.map(
    (at, index) => syntheticLogId(at).slice(0, -6) + `${index + 1}`.padStart(6, '0'),
  )
  let now = startAt
  let requests = 0
  let readTo = syntheticLogId(0)
  const unused = async (): Promise<never> => {
    throw new Error('a catch-up sends no search')
  }
  const readPage: LogSource['readPage'] = async (from) => {
    requests += 1
    now += latencyMs
    const max = Math.max(1, Math.min(PAGE_SIZE, maxEntries()))
    const isVisible = (index: number) => (sorted[index] ?? 0) <= now
    const page = ids.filter((id, index) => id > from && isVisible(index)).slice(0, max)
    const next = page.at(-1) ?? from
    if (next > readTo) readTo = next
    const entries = page.map((log_id) => ({ log_id, type: 's' }))
    return { entries, next, requestedAt: Math.floor(now / 1_000) * 1_000 - latencyMs }
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
    unreadStoredAts: () => sorted.filter((_, index) => (ids[index] ?? '') > readTo),
    requestCount: () => requests,
  }
}

function openCatchUp({ source }: SimulatedLog) {
  const store = createMemoryStore({ checkpoint: syntheticLogId(NOW - 60_000), asOf: NOW - 60_000 })
  return {
    readAsOf: async () => (await store.readProgress()).asOf ?? Number.NaN,
    run: () =>
      createProgressGuard().run(store.readProgress, signal, (startLoop) =>
        catchUp({ source, store, types: LOGOUT_TYPES, startLoop }, signal),
      ),
  }
}

/** Returns the times at this interval from `durationMs` before `NOW` until `NOW`. */
const every = (intervalMs: number, durationMs: number) =>
  Array.from(
    { length: durationMs / intervalMs },
    (_, index) => NOW - durationMs + index * intervalMs,
  )

test('a catch-up stores pages together if they arrive while a page is being stored', async () => {
  const log = simulateLog(every(10, 20_000), { startAt: NOW })
  const start = { checkpoint: syntheticLogId(NOW - 60_000), asOf: NOW - 60_000 }
  const workingStore = createMemoryStore(start)
  const checkpoints: string[] = []
  const store: LastLogoutStore = {
    ...workingStore,
    storePage: async (page) => {
      checkpoints.push(page.from)
      await new Promise((resolve) => setImmediate(resolve))
      return workingStore.storePage(page)
    },
  }
  await createProgressGuard().run(store.readProgress, signal, (startLoop) =>
    catchUp({ source: log.source, store, types: LOGOUT_TYPES, startLoop }, signal),
  )
  expect(log.unreadStoredAts()).toEqual([])
  expect(log.requestCount()).toBeGreaterThanOrEqual(20)
  expect(checkpoints.length).toBeLessThan(10)
  expect(new Set(checkpoints).size).toBe(checkpoints.length)
})

describe('the end of the log', () => {
  test.each([0, 250, 500, 750, 999])(
    'with 50 entries per second, a catch-up sends three requests if it begins %d ms after a full second',
    async (offsetMs) => {
      const startAt = NOW + offsetMs
      const storedAts = [...every(20, 5_000), ...every(20, 10_000).map((at) => at + 10_000)].map(
        (at) => at + offsetMs,
      )
      const log = simulateLog(storedAts, { startAt })
      const { run, readAsOf } = openCatchUp(log)
      await run()
      expect(log.requestCount()).toBe(3)
      expect(await readAsOf()).toBeGreaterThan(startAt - 2_000)
    },
  )

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
    expect(await readAsOf()).toBeGreaterThan(NOW - 1_001)
  })

  test('a catch-up continues after a short page if the last entry is not recent', async () => {
    let requests = 0
    const log = simulateLog(every(100, 50_000), {
      startAt: NOW,
      maxEntries: () => (++requests % 2 === 0 ? 30 : 100),
    })
    await openCatchUp(log).run()
    expect(log.unreadStoredAts()).toEqual([])
  })

  test('as_of is never after the storage time of an entry that was not read, whichever pages are short', async () => {
    const scenario = fc.record({
      storedAgoMs: fc.array(fc.integer({ min: -20_000, max: 50_000 }), {
        minLength: 1,
        maxLength: 400,
        size: 'max',
      }),
      pageSizes: fc.infiniteStream(
        fc.oneof(fc.constant(PAGE_SIZE), fc.integer({ min: 1, max: PAGE_SIZE })),
      ),
      latencyMs: fc.integer({ min: 1, max: 700 }),
      offsetMs: fc.integer({ min: 0, max: 999 }),
      pausesMs: fc.array(fc.integer({ min: 0, max: 6_000 }), { minLength: 1, maxLength: 6 }),
    })
    await fc.assert(
      fc.asyncProperty(scenario, async (values) => {
        const { storedAgoMs, pageSizes, offsetMs, latencyMs, pausesMs } = values
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
          // One second is the precision of `Date`. The last entry of a short page can be another second old.
          expect(asOf).toBeGreaterThanOrEqual(beganAt - 2_000)
          log.advance(pauseMs)
        }
      }),
      { numRuns: 200 },
    )
  })
})
