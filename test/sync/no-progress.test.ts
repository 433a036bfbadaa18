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

const PATH = '/api/v2/logs'
const MAX_REQUESTS = 20
const LIMITS: Partial<ProgressLimits> = { backoff: { firstMs: 1, maxMs: 4 } }
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

/** Changes the progress that the methods of a store return. */
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

/** Faults of a store: what the store returns contradicts what was written. */
const STORE_FAULTS = {
  'refuses every page': () => ({ storePage: async () => false }),
  'accepts every page, and stores no page': () => ({ storePage: async () => true }),
  'returns two checkpoints alternately': (store: LastLogoutStore) => {
    let reads = 0
    const otherCheckpoint = syntheticLogId(Date.now() - HOUR)
    return {
      storePage: async () => false,
      ...changeProgress(store, (progress) =>
        ++reads % 2 === 0 ? toProgress({ ...progress, checkpoint: otherCheckpoint }) : progress,
      ),
    }
  },
  'refuses every part of a sweep': () => ({ storeSweep: async () => false }),
  'accepts every part of a sweep, and stores no part': () => ({ storeSweep: async () => true }),
  'returns the sweep in another time zone': (store: LastLogoutStore) =>
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

const ages = (maxMs: number) => fc.integer({ min: 1_000, max: maxMs })

const situations = fc.record({
  storeFaults: fc.subarray(Object.keys(STORE_FAULTS) as StoreFault[], { minLength: 1 }),
  task: fc.constantFrom(poll, reconcile),
  // The first logout is recent enough for the catch-up. The sweep reads the other logouts.
  entries: fc.tuple(ages(14 * MINUTE), ages(30 * DAY), ages(30 * DAY)),
  startState: fc.record({
    readToAgoMs: fc.option(fc.integer({ min: 15 * MINUTE, max: 10 * DAY })),
    isFresh: fc.boolean(),
    sweepSpanMs: ages(20 * DAY),
  }),
})

/** The state in which a poll begins. */
interface StartState {
  /** Time since the end of the last read, in milliseconds; `null` if the log has not been read. */
  readToAgoMs: number | null
  /** Whether a catch-up has ended, so that `asOf` is set. */
  isFresh: boolean
  /** Length of the span that is still to be swept, in milliseconds. */
  sweepSpanMs: number
}

function toStoredProgress({
  readToAgoMs,
  isFresh,
  sweepSpanMs,
}: StartState): Partial<StoredProgress> {
  if (readToAgoMs === null) return {}
  const readTo = Date.now() - readToAgoMs
  const sweep = { from: readTo - sweepSpanMs, to: readTo }
  return { checkpoint: syntheticLogId(readTo), asOf: isFresh ? readTo : null, sweep }
}

/** Creates the jobs of a worker. `run` runs the job with a name. */
function openWorker(
  { simulator, source }: TestTenant,
  store: LastLogoutStore,
  log = pino({ level: 'silent' }),
) {
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
  test('every poll and reconcile ends with NO_PROGRESS after at most 20 requests, and the problem is reported once', async () => {
    await fc.assert(
      fc.asyncProperty(situations, async ({ storeFaults, task, entries, startState }) => {
        const tenant = await openLog(entries)
        const reports: boolean[] = []
        const guard = createProgressGuard({
          limits: LIMITS,
          onIdleRound: (_loop, isFirst) => void reports.push(isFirst),
        })
        const store = createFaultyStore(storeFaults, toStoredProgress(startState))
        const source = limitRequests(tenant)
        const deps = { source, store, types: LOGOUT_TYPES, guard }
        await expect(task(deps, POLL_OPTIONS, signal)).rejects.toMatchObject({
          code: 'NO_PROGRESS',
        })
        expect(tenant.simulator.requests.count({ path: PATH })).toBeLessThanOrEqual(MAX_REQUESTS)
        expect(reports).toEqual([true, false, false])
      }),
      { numRuns: 40 },
    )
  }, 60_000)

  test('a poll ends if Auth0 refuses the checkpoint and the database does not replace it', async () => {
    const tenant = await openLog([MINUTE, 2 * DAY])
    const hasCheckpoint = (url: URL) => url.searchParams.has('from')
    const refusal = { when: hasCheckpoint, times: Infinity, respond: faults.respondWith(400, {}) }
    tenant.simulator.faults.push({ path: PATH, ...refusal })
    const readTo = Date.now() - HOUR
    const workingStore = createMemoryStore({ checkpoint: syntheticLogId(readTo), asOf: readTo })
    const store: LastLogoutStore = { ...workingStore, moveCheckpoint: async () => false }
    const guard = createProgressGuard({ limits: LIMITS })
    const deps = { source: limitRequests(tenant), store, types: LOGOUT_TYPES, guard }
    await expect(poll(deps, POLL_OPTIONS, signal)).rejects.toMatchObject({ code: 'NO_PROGRESS' })
  })

  test('after a failed poll, each further poll ends at its first idle round, until a poll succeeds', async () => {
    const tenant = await openLog([MINUTE])
    const readTo = Date.now() - 10 * MINUTE
    const workingStore = createMemoryStore({ checkpoint: syntheticLogId(readTo), asOf: readTo })
    let isBroken = true
    const store: LastLogoutStore = {
      ...workingStore,
      storePage: async (page) => !isBroken && workingStore.storePage(page),
    }
    const reports: boolean[] = []
    const guard = createProgressGuard({
      limits: LIMITS,
      onIdleRound: (_loop, isFirst) => void reports.push(isFirst),
    })
    const run = () =>
      poll({ source: tenant.source, store, types: LOGOUT_TYPES, guard }, POLL_OPTIONS, signal)
    const takeReports = () => reports.splice(0)

    await expect(run()).rejects.toMatchObject({ code: 'NO_PROGRESS' })
    expect(takeReports()).toEqual([true, false, false])
    await expect(run()).rejects.toMatchObject({ code: 'NO_PROGRESS' })
    expect(takeReports()).toEqual([false])

    isBroken = false
    await expect(run()).resolves.toBe('caught_up')
    expect(takeReports()).toEqual([])
    isBroken = true
    tenant.tenant.write(buildEntry('slo', { userId: 'auth0|next' }))
    await expect(run()).rejects.toMatchObject({ code: 'NO_PROGRESS' })
    expect(takeReports()).toEqual([true, false, false])
  })

  test('a worker counts each round without progress, and logs the problem once for all polls', async () => {
    const tenant = await openLog([MINUTE])
    const lines: { level: number; msg: string; loop?: string }[] = []
    const log = pino({ level: 'debug' }, { write: (line) => void lines.push(JSON.parse(line)) })
    const readTo = Date.now() - 10 * MINUTE
    const startState = { checkpoint: syntheticLogId(readTo), asOf: readTo }
    const store = createFaultyStore(['refuses every page'], startState)
    const { metrics, run } = openWorker(tenant, store, log)
    for (const name of ['poll', 'poll', 'reconcile']) {
      await expect(run(name)).rejects.toMatchObject({ code: 'NO_PROGRESS' })
    }
    const { text } = await metrics.scrape()
    const metric = parseExposition(text).get('last_logout_rounds_without_progress_total')
    expect(metric?.samples.map(({ labels, value }) => [labels.loop, value])).toEqual([
      ['catch-up', 5],
      ['sweep', 0],
      ['replace-checkpoint', 0],
    ])
    const warnings = lines.filter(({ level }) => level >= 40)
    expect(warnings).toMatchObject([{ msg: 'sync loop made no progress', loop: 'catch-up' }])
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
          await store.storePage({ ...page, next: syntheticLogId(readTo + moves) })
        }
        return store.storePage(page)
      },
    }
  }

  const pollContendedStore = async (times: number) => {
    const tenant = await openLog([MINUTE])
    let idleRounds = 0
    const guard = createProgressGuard({ limits: LIMITS, onIdleRound: () => void idleRounds++ })
    const store = createContendedStore(times)
    const deps = { source: limitRequests(tenant, 30), store, types: LOGOUT_TYPES, guard }
    const outcome = await poll(deps, POLL_OPTIONS, signal).catch((error) => error)
    expect(idleRounds).toBe(0)
    return outcome
  }

  test('a poll succeeds after another process has moved the checkpoint eight times', async () => {
    await expect(pollContendedStore(8)).resolves.toBe('caught_up')
  })

  test('a poll ends with NO_PROGRESS if another process moves the checkpoint before each page', async () => {
    await expect(pollContendedStore(Number.POSITIVE_INFINITY)).resolves.toMatchObject({
      code: 'NO_PROGRESS',
    })
  })

  test('a reconcile waits with backoff while another process holds the lease', async () => {
    const tenant = await openLog([MINUTE])
    const triedAt: number[] = []
    const workingStore = createMemoryStore()
    const store: LastLogoutStore = {
      ...workingStore,
      acquireLease: async (owner, ttlMs) =>
        triedAt.push(performance.now()) > 5 ? workingStore.acquireLease(owner, ttlMs) : null,
    }
    await openWorker(tenant, store).run('reconcile')
    const waitsMs = triedAt.slice(1).map((at, index) => at - (triedAt[index] ?? at))
    expect(waitsMs).toHaveLength(5)
    expect(waitsMs.at(-1)).toBeGreaterThan(2 * (waitsMs[0] ?? Number.NaN))
  })
})
