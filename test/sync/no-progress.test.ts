import fc from 'fast-check'
import { pino } from 'pino'
import { afterEach, describe, expect, test } from 'vitest'
import { loadConfig } from '../../src/config/config.js'
import { createMetrics } from '../../src/metrics/metrics.js'
import type { LastLogoutStore, LogSource } from '../../src/ports.js'
import { syntheticLogId } from '../../src/rules/log-id.js'
import { type Progress, type StoredProgress, toProgress } from '../../src/rules/progress.js'
import type { Span } from '../../src/rules/span.js'
import { createWorkerJobs } from '../../src/service/worker-jobs.js'
import { buildEntry } from '../../src/simulator/entries.js'
import * as faults from '../../src/simulator/faults.js'
import { createLease } from '../../src/sync/lease.js'
import { poll, reconcile } from '../../src/sync/poll.js'
import { createProgressGuard, type ProgressLimits } from '../../src/sync/progress-guard.js'
import { parseExposition } from '../_support/exposition.js'
import { createMemoryStore } from '../_support/memory-store.js'
import { DAY, HOUR, LOGOUT_TYPES, MINUTE, POLL_OPTIONS } from '../_support/poll.js'
import { openTenant, type TestTenant, tenantEnv } from '../_support/tenant.js'
import { createTestLog } from '../jobs/fixture.js'

// A poll reads the log in loops: a round reads pages or a span of the log, stores them, and moves the checkpoint (the
// log id from which the next page is read) or shrinks the sweep (the span that is still to be searched). A round is
// idle if neither has changed since an earlier round. A progress guard slows down and ends loops with idle rounds.

const LOGS_PATH = '/api/v2/logs'
/** The maximum number of requests to Auth0 in one poll or reconcile. */
const MAX_REQUESTS = 20
/**
 * A run ends after 3 consecutive idle rounds, or after 10 repeated rounds, idle or not. These are the default limits.
 * Only the waits between two rounds are shorter.
 */
const LIMITS: Partial<ProgressLimits> = { backoff: { firstMs: 1, maxMs: 4 } }
/** The reports of a run without progress: whether each idle round was the first one since a successful run. */
const REPORTS_OF_FAILED_RUN = [true, false, false]
const { signal } = new AbortController()

let auth0: TestTenant | undefined
afterEach(() => auth0?.close())

/** Opens a tenant whose log contains one logout for each of these ages. */
async function openLog(agesMs: number[]): Promise<TestTenant> {
  await auth0?.close()
  auth0 = await openTenant()
  for (const [index, ageMs] of agesMs.entries()) {
    const entry = buildEntry('slo', { userId: `auth0|${index}`, sessionId: `S${index}` })
    auth0.tenant.write(entry, { dateMs: Date.now() - ageMs })
  }
  return auth0
}

/** Returns the log source of a tenant. The source throws after the maximum number of requests. */
function limitRequests({ source }: TestTenant, max = MAX_REQUESTS): LogSource {
  let requests = 0
  const countRequests =
    <Args extends unknown[], T>(request: (...args: Args) => Promise<T>) =>
    async (...args: Args) => {
      if (++requests > max) throw new Error(`more than ${max} requests`)
      return request(...args)
    }
  return {
    readPage: countRequests(source.readPage),
    search: countRequests(source.search),
    readNewest: countRequests(source.readNewest),
    readOldest: countRequests(source.readOldest),
    awaitSpareBudget: source.awaitSpareBudget,
  }
}

const shift = (span: Span | null, byMs: number): Span | null =>
  span && { from: span.from + byMs, to: span.to + byMs }

/** Replaces the methods of a store that return progress (how far the log has been read), and changes that progress. */
function changeProgress(
  store: LastLogoutStore,
  change: (progress: Progress) => Progress,
): Partial<LastLogoutStore> {
  const changeIfPresent = (progress: Progress | null) => progress && change(progress)
  return {
    readProgress: async () => change(await store.readProgress()),
    acquireLease: async (...args) => changeIfPresent(await store.acquireLease(...args)),
    storeCaughtUp: async (...args) => changeIfPresent(await store.storeCaughtUp(...args)),
  }
}

/** Faults of a store. Each function returns the methods that replace those of the store. */
const STORE_FAULTS = {
  'refuses every page': () => ({ storePage: async () => false }),
  'accepts every page, and stores no page': () => ({ storePage: async () => true }),
  'returns two checkpoints alternately': (store: LastLogoutStore) => {
    let reads = 0
    const otherCheckpoint = syntheticLogId(Date.now() - HOUR)
    return {
      storePage: async () => false,
      ...changeProgress(store, (progress) => {
        reads += 1
        const isEven = reads % 2 === 0
        return isEven ? toProgress({ ...progress, checkpoint: otherCheckpoint }) : progress
      }),
    }
  },
  'refuses every part of a sweep': () => ({ storeSweep: async () => false }),
  'accepts every part of a sweep, and stores no part': () => ({ storeSweep: async () => true }),
  'returns the sweep shifted by five hours, as with a wrong time zone': (store: LastLogoutStore) =>
    changeProgress(store, (progress) =>
      toProgress({ ...progress, sweep: shift(progress.sweep, 5 * HOUR) }),
    ),
} satisfies Record<string, (store: LastLogoutStore) => Partial<LastLogoutStore>>

type StoreFault = keyof typeof STORE_FAULTS

/** Creates a store with these faults. If two faults replace the same method, the last fault applies. */
function createFaultyStore(
  storeFaults: StoreFault[],
  startState?: Partial<StoredProgress>,
): LastLogoutStore {
  let store = createMemoryStore(startState)
  for (const name of storeFaults) store = { ...store, ...STORE_FAULTS[name](store) }
  return store
}

/** Generates durations of at least a second, in milliseconds. */
const durations = (maxMs: number) => fc.integer({ min: 1_000, max: maxMs })

const situations = fc.record({
  storeFaults: fc.subarray(Object.keys(STORE_FAULTS) as StoreFault[], { minLength: 1 }),
  task: fc.constantFrom(poll, reconcile),
  // The first logout is so recent that pages contain it. A search finds the other logouts.
  logoutAgesMs: fc.tuple(durations(14 * MINUTE), durations(30 * DAY), durations(30 * DAY)),
  startState: fc.record({
    readToAgoMs: fc.option(fc.integer({ min: 15 * MINUTE, max: 10 * DAY })),
    hasCaughtUp: fc.boolean(),
    sweepLengthMs: durations(20 * DAY),
  }),
})

/** The state in which a poll begins. */
interface StartState {
  /** Time since the end of the last read, in milliseconds; `null` if the log has not been read. */
  readToAgoMs: number | null
  /** Whether the log has been read to its end once. Then `asOf` is set: the instant up to which the log was read. */
  hasCaughtUp: boolean
  /** Length of the span that is still to be searched, in milliseconds. */
  sweepLengthMs: number
}

function toStoredProgress({
  readToAgoMs,
  hasCaughtUp,
  sweepLengthMs,
}: StartState): Partial<StoredProgress> {
  if (readToAgoMs === null) return {}
  const readTo = Date.now() - readToAgoMs
  const sweep = { from: readTo - sweepLengthMs, to: readTo }
  return { checkpoint: syntheticLogId(readTo), asOf: hasCaughtUp ? readTo : null, sweep }
}

/** Returns the state of a store after the log was read to its end some time ago. */
function readUntil(agoMs: number): Partial<StoredProgress> {
  const readTo = Date.now() - agoMs
  return { checkpoint: syntheticLogId(readTo), asOf: readTo }
}

/** Creates a progress guard. `takeReports` returns the values of `isFirst` of the idle rounds since its last call. */
function createReportingGuard() {
  const reports: boolean[] = []
  const guard = createProgressGuard({
    limits: LIMITS,
    onIdleRound: (_loop, isFirst) => {
      reports.push(isFirst)
    },
  })
  return { guard, takeReports: () => reports.splice(0) }
}

/** Creates the jobs of a worker. `run` runs the job with this name once. */
function openWorker(
  { simulator, source }: TestTenant,
  store: LastLogoutStore,
  log = pino({ level: 'silent' }),
) {
  // The configuration needs a URL, but the jobs use `store` instead of a database.
  const env = { ...tenantEnv(simulator), DATABASE_URL: 'postgres://localhost/none' }
  const config = loadConfig(env, ['auth0', 'database'])
  const metrics = createMetrics({ ...store, rateShare: 1 })
  metrics.expose('sync')
  const jobs = createWorkerJobs({
    config,
    log,
    store,
    source,
    lease: createLease(store),
    metrics,
    progressLimits: LIMITS,
    leaseBackoff: { firstMs: 20, maxMs: 400 },
  })
  const run = async (name: string) => jobs.find((job) => job.name === name)?.run(signal, () => {})
  return { metrics, run }
}

describe('a database that does not keep what is written', () => {
  const TEST_TIMEOUT_MS = 60_000
  test(
    'every poll and reconcile ends with NO_PROGRESS after three idle rounds and at most 20 requests',
    async () => {
      await fc.assert(
        fc.asyncProperty(situations, async ({ storeFaults, task, logoutAgesMs, startState }) => {
          const tenant = await openLog(logoutAgesMs)
          const { guard, takeReports } = createReportingGuard()
          const store = createFaultyStore(storeFaults, toStoredProgress(startState))
          const source = limitRequests(tenant)
          const deps = { source, store, types: LOGOUT_TYPES, guard }
          await expect(task(deps, POLL_OPTIONS, signal)).rejects.toMatchObject({
            code: 'NO_PROGRESS',
          })
          const requests = tenant.simulator.requests.count({ path: LOGS_PATH })
          expect(requests).toBeLessThanOrEqual(MAX_REQUESTS)
          expect(takeReports()).toEqual(REPORTS_OF_FAILED_RUN)
        }),
        { numRuns: 40 },
      )
    },
    TEST_TIMEOUT_MS,
  )

  test('a poll ends with NO_PROGRESS if Auth0 refuses the checkpoint and the database does not replace it', async () => {
    const tenant = await openLog([MINUTE, 2 * DAY])
    tenant.simulator.faults.push({
      path: LOGS_PATH,
      when: (url) => url.searchParams.has('from'),
      times: Infinity,
      respond: faults.respondWith(400, {}),
    })
    const workingStore = createMemoryStore(readUntil(HOUR))
    const store: LastLogoutStore = { ...workingStore, moveCheckpoint: async () => false }
    const guard = createProgressGuard({ limits: LIMITS })
    const deps = { source: limitRequests(tenant), store, types: LOGOUT_TYPES, guard }
    await expect(poll(deps, POLL_OPTIONS, signal)).rejects.toMatchObject({ code: 'NO_PROGRESS' })
  })

  test('after a failed poll, each further poll ends at its first idle round, until a poll succeeds', async () => {
    const tenant = await openLog([MINUTE])
    const workingStore = createMemoryStore(readUntil(10 * MINUTE))
    let isRefusingPages = true
    const store: LastLogoutStore = {
      ...workingStore,
      storePage: async (page) => !isRefusingPages && workingStore.storePage(page),
    }
    const { guard, takeReports } = createReportingGuard()
    const deps = { source: tenant.source, store, types: LOGOUT_TYPES, guard }
    const runPoll = () => poll(deps, POLL_OPTIONS, signal)

    await expect(runPoll()).rejects.toMatchObject({ code: 'NO_PROGRESS' })
    expect(takeReports()).toEqual(REPORTS_OF_FAILED_RUN)
    await expect(runPoll()).rejects.toMatchObject({ code: 'NO_PROGRESS' })
    expect(takeReports()).toEqual([false])

    isRefusingPages = false
    await expect(runPoll()).resolves.toBe('caught_up')
    expect(takeReports()).toEqual([])
    isRefusingPages = true
    tenant.tenant.write(buildEntry('slo', { userId: 'auth0|next' }))
    await expect(runPoll()).rejects.toMatchObject({ code: 'NO_PROGRESS' })
    expect(takeReports()).toEqual(REPORTS_OF_FAILED_RUN)
  })

  test('a worker counts each idle round in a metric, and logs one warning for all runs', async () => {
    const tenant = await openLog([MINUTE])
    const { log, lines } = createTestLog()
    const store = createFaultyStore(['refuses every page'], readUntil(10 * MINUTE))
    const { metrics, run } = openWorker(tenant, store, log)
    for (const name of ['poll', 'poll', 'reconcile']) {
      await expect(run(name)).rejects.toMatchObject({ code: 'NO_PROGRESS' })
    }
    const { text } = await metrics.scrape()
    const metric = parseExposition(text).get('last_logout_rounds_without_progress_total')
    const counts = metric?.samples.map(({ labels, value }) => [labels.loop, value])
    // The first run had three idle rounds, and each further run had one.
    expect(counts).toEqual([
      ['catch-up', 3 + 1 + 1],
      ['sweep', 0],
      ['replace-checkpoint', 0],
    ])
    expect(lines('warn')).toMatchObject([{ msg: 'sync loop made no progress', loop: 'catch-up' }])
    expect(lines('error')).toEqual([])
  })
})

describe('another process that moves the checkpoint', () => {
  /** Creates a store. Before each of the first `times` pages is stored, another process moves the checkpoint. */
  function createContendedStore(times: number): LastLogoutStore {
    const readTo = Date.now() - HOUR
    const store = createMemoryStore({ checkpoint: syntheticLogId(readTo), asOf: readTo })
    let moves = 0
    return {
      ...store,
      async storePage(page) {
        if (moves < times) {
          moves += 1
          // The other process stores its own page.
          await store.storePage({ ...page, next: syntheticLogId(readTo + moves) })
        }
        return store.storePage(page)
      },
    }
  }

  /** Polls once. Expects no idle round, because the checkpoint moves. Returns the outcome or the error of the poll. */
  const pollContendedStore = async (times: number) => {
    const tenant = await openLog([MINUTE])
    const { guard, takeReports } = createReportingGuard()
    const store = createContendedStore(times)
    // The maximum is higher here: after each move, the poll reads its pages again.
    const deps = { source: limitRequests(tenant, 30), store, types: LOGOUT_TYPES, guard }
    const outcome = await poll(deps, POLL_OPTIONS, signal).catch((error) => error)
    expect(takeReports()).toEqual([])
    return outcome
  }

  test('a poll succeeds after another process has moved the checkpoint eight times', async () => {
    await expect(pollContendedStore(8)).resolves.toBe('caught_up')
  })

  test('a poll ends with NO_PROGRESS if another process moves the checkpoint before each page', async () => {
    // The poll ends at the maximum number of repeated rounds. None of them is idle.
    await expect(pollContendedStore(Number.POSITIVE_INFINITY)).resolves.toMatchObject({
      code: 'NO_PROGRESS',
    })
  })

  test('a reconcile waits with backoff while another process holds the lease', async () => {
    const tenant = await openLog([MINUTE])
    /** The times of the attempts to acquire the lease, the exclusive right to read the log. */
    const attemptedAt: number[] = []
    const workingStore = createMemoryStore()
    const store: LastLogoutStore = {
      ...workingStore,
      async acquireLease(owner, ttlMs) {
        attemptedAt.push(performance.now())
        const isHeldByOther = attemptedAt.length <= 5
        return isHeldByOther ? null : workingStore.acquireLease(owner, ttlMs)
      },
    }
    await openWorker(tenant, store).run('reconcile')
    const waitsMs = attemptedAt.slice(1).map((at, index) => at - (attemptedAt[index] ?? at))
    expect(waitsMs).toHaveLength(5)
    expect(waitsMs.at(-1)).toBeGreaterThan(2 * (waitsMs[0] ?? Number.NaN))
  })
})
