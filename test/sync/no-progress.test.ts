import fc from 'fast-check'
import { pino } from 'pino'
import { afterEach, describe, expect, test } from 'vitest'
import { loadConfig } from '../../src/config/config.js'
import { createMetrics } from '../../src/metrics/metrics.js'
import type { LastLogoutStore, LogSource } from '../../src/ports.js'
import { syntheticLogId } from '../../src/rules/log-id.js'
import { type StoredProgress, toProgress } from '../../src/rules/progress.js'
import type { Span } from '../../src/rules/span.js'
import { createWorkerJobs } from '../../src/service/worker-jobs.js'
import { buildEntry } from '../../src/simulator/entries.js'
import * as faults from '../../src/simulator/faults.js'
import { createLease } from '../../src/sync/lease.js'
import { poll, reconcile } from '../../src/sync/poll.js'
import { createProgressGuard, type ProgressLimits } from '../../src/sync/progress-guard.js'
import { parseExposition } from '../_support/exposition.js'
import { createMemoryStore } from '../_support/memory-store.js'
import { DAY, HOUR, MINUTE, POLL_OPTIONS, TYPES } from '../_support/poll.js'
import { openTenant, type TestTenant, tenantEnv } from '../_support/tenant.js'

const LOGS = '/api/v2/logs'
const MAX_REQUESTS = 20
const LIMITS: Partial<ProgressLimits> = { backoff: { firstMs: 1, maxMs: 4 } }
const { signal } = new AbortController()

let t: TestTenant | undefined
afterEach(() => t?.close())

/** Opens a tenant whose log holds one logout of each of these ages. */
async function openLog(agesMs: number[]): Promise<TestTenant> {
  await t?.close()
  t = await openTenant()
  for (const [n, ageMs] of agesMs.entries()) {
    const entry = buildEntry('slo', { userId: `auth0|${n}`, sessionId: `S${n}` })
    t.tenant.write(entry, { dateMs: Date.now() - ageMs })
  }
  return t
}

/** The log source of a tenant. It fails at the first request beyond the maximum. */
function limitRequests({ source }: TestTenant, max = MAX_REQUESTS): LogSource {
  let requests = 0
  const counted =
    <Args extends unknown[], T>(request: (...args: Args) => Promise<T>) =>
    async (...args: Args) => {
      if (++requests > max) throw new Error(`more than ${max} requests`)
      return request(...args)
    }
  return {
    readPage: counted(source.readPage),
    search: counted(source.search),
    readNewest: counted(source.readNewest),
    readOldest: counted(source.readOldest),
  }
}

const shift = (span: Span | null, byMs: number): Span | null =>
  span && { from: span.from + byMs, to: span.to + byMs }

/** Faults of a store: what it returns contradicts what it has accepted before. */
const STORE_FAULTS = {
  'refuses every page': () => ({ storePage: async () => false }),
  'accepts every page, and keeps none': () => ({ storePage: async () => true }),
  'returns two checkpoints alternately': (store: LastLogoutStore) => {
    let reads = 0
    const other = syntheticLogId(Date.now() - HOUR)
    return {
      storePage: async () => false,
      async readProgress() {
        const progress = await store.readProgress()
        return ++reads % 2 === 0 ? toProgress({ ...progress, checkpoint: other }) : progress
      },
    }
  },
  'refuses every part of a sweep': () => ({ storeSweep: async () => false }),
  'accepts every part of a sweep, and keeps none': () => ({ storeSweep: async () => true }),
  'returns the sweep in another time zone': (store: LastLogoutStore) => ({
    async readProgress() {
      const progress = await store.readProgress()
      return toProgress({ ...progress, sweep: shift(progress.sweep, 5 * HOUR) })
    },
  }),
} satisfies Record<string, (store: LastLogoutStore) => Partial<LastLogoutStore>>

type StoreFault = keyof typeof STORE_FAULTS

/** Creates a store with these faults. If two faults concern the same method, the last one applies. */
function createFaultyStore(
  storeFaults: StoreFault[],
  start?: Partial<StoredProgress>,
): LastLogoutStore {
  let store = createMemoryStore(start)
  for (const name of storeFaults) store = { ...store, ...STORE_FAULTS[name](store) }
  return store
}

const ages = (maxMs: number) => fc.integer({ min: 1_000, max: maxMs })

const situations = fc.record({
  storeFaults: fc.subarray(Object.keys(STORE_FAULTS) as StoreFault[], { minLength: 1 }),
  task: fc.constantFrom(poll, reconcile),
  // The first logout is read by the catch-up, the others by the sweep.
  entries: fc.tuple(ages(14 * MINUTE), ages(30 * DAY), ages(30 * DAY)),
  start: fc.record({
    readToAgoMs: fc.option(fc.integer({ min: 15 * MINUTE, max: 10 * DAY })),
    isFresh: fc.boolean(),
    sweepSpanMs: ages(20 * DAY),
  }),
})

/** The state in which a poll begins. */
interface Start {
  /** The log has been read up to this time before now; `null`: not at all. */
  readToAgoMs: number | null
  /** Whether a catch-up has ended, so that `asOf` is set. */
  isFresh: boolean
  /** The span that is left to sweep. */
  sweepSpanMs: number
}

function toProgressStart({ readToAgoMs, isFresh, sweepSpanMs }: Start): Partial<StoredProgress> {
  if (readToAgoMs === null) return {}
  const readTo = Date.now() - readToAgoMs
  const sweep = { from: readTo - sweepSpanMs, to: readTo }
  return { checkpoint: syntheticLogId(readTo), asOf: isFresh ? readTo : null, sweep }
}

/** Opens the jobs of a worker. They are run by name. */
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

describe('a database that does not keep the rows that are written', () => {
  test('ends every poll and reconcile with NO_PROGRESS after at max 20 requests, and is reported once', async () => {
    await fc.assert(
      fc.asyncProperty(situations, async ({ storeFaults, task, entries, start }) => {
        const tenant = await openLog(entries)
        const reports: boolean[] = []
        const guard = createProgressGuard({
          limits: LIMITS,
          onIdleRound: (_loop, isFirst) => void reports.push(isFirst),
        })
        const store = createFaultyStore(storeFaults, toProgressStart(start))
        const source = limitRequests(tenant)
        const deps = { source, store, types: TYPES, guard }
        await expect(task(deps, POLL_OPTIONS, signal)).rejects.toMatchObject({
          code: 'NO_PROGRESS',
        })
        expect(tenant.simulator.requests.count({ path: LOGS })).toBeLessThanOrEqual(MAX_REQUESTS)
        expect(reports).toEqual([true, false, false])
      }),
      { numRuns: 40 },
    )
  }, 60_000)

  test('ends a poll whose refused checkpoint cannot be replaced', async () => {
    const tenant = await openLog([MINUTE, 2 * DAY])
    const isFollowed = (url: URL) => url.searchParams.has('from')
    const refused = { when: isFollowed, times: Infinity, respond: faults.respondWith(400, {}) }
    tenant.simulator.faults.push({ path: LOGS, ...refused })
    const readTo = Date.now() - HOUR
    const healthy = createMemoryStore({ checkpoint: syntheticLogId(readTo), asOf: readTo })
    const store: LastLogoutStore = { ...healthy, moveCheckpoint: async () => false }
    const guard = createProgressGuard({ limits: LIMITS })
    const deps = { source: limitRequests(tenant), store, types: TYPES, guard }
    await expect(poll(deps, POLL_OPTIONS, signal)).rejects.toMatchObject({ code: 'NO_PROGRESS' })
  })

  test('limits each further poll to one round of requests, until a poll succeeds', async () => {
    const tenant = await openLog([MINUTE])
    const readTo = Date.now() - 10 * MINUTE
    const healthy = createMemoryStore({ checkpoint: syntheticLogId(readTo), asOf: readTo })
    let isBroken = true
    const store: LastLogoutStore = {
      ...healthy,
      storePage: async (page) => !isBroken && healthy.storePage(page),
    }
    const reports: boolean[] = []
    const guard = createProgressGuard({
      limits: LIMITS,
      onIdleRound: (_loop, isFirst) => void reports.push(isFirst),
    })
    const run = () =>
      poll({ source: tenant.source, store, types: TYPES, guard }, POLL_OPTIONS, signal)
    const count = () => reports.splice(0)

    await expect(run()).rejects.toMatchObject({ code: 'NO_PROGRESS' })
    expect(count()).toEqual([true, false, false])
    await expect(run()).rejects.toMatchObject({ code: 'NO_PROGRESS' })
    expect(count()).toEqual([false])

    isBroken = false
    await expect(run()).resolves.toBe('caught_up')
    expect(count()).toEqual([])
    isBroken = true
    tenant.tenant.write(buildEntry('slo', { userId: 'auth0|next' }))
    await expect(run()).rejects.toMatchObject({ code: 'NO_PROGRESS' })
    expect(count()).toEqual([true, false, false])
  })

  test('is counted in each round of a worker, and logged once across all polls', async () => {
    const tenant = await openLog([MINUTE])
    const lines: { level: number; msg: string; loop?: string }[] = []
    const log = pino({ level: 'debug' }, { write: (line) => void lines.push(JSON.parse(line)) })
    const readTo = Date.now() - 10 * MINUTE
    const start = { checkpoint: syntheticLogId(readTo), asOf: readTo }
    const store = createFaultyStore(['refuses every page'], start)
    const { metrics, run } = openWorker(tenant, store, log)
    for (const name of ['poll', 'poll', 'reconcile']) {
      await expect(run(name)).rejects.toMatchObject({ code: 'NO_PROGRESS' })
    }
    const { text } = await metrics.scrape()
    const counted = parseExposition(text).get('last_logout_rounds_without_progress_total')
    expect(counted?.samples.map(({ labels, value }) => [labels.loop, value])).toEqual([
      ['catch-up', 5],
      ['sweep', 0],
      ['replace-checkpoint', 0],
    ])
    const warnings = lines.filter(({ level }) => level >= 40)
    expect(warnings).toMatchObject([{ msg: 'sync loop made no progress', loop: 'catch-up' }])
  })
})

describe('another poller that moves the checkpoint', () => {
  /** A store in which another poller moves the checkpoint before each of the first pages is stored. */
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

  const contend = async (times: number) => {
    const tenant = await openLog([MINUTE])
    let idle = 0
    const guard = createProgressGuard({ limits: LIMITS, onIdleRound: () => void idle++ })
    const store = createContendedStore(times)
    const deps = { source: limitRequests(tenant, 30), store, types: TYPES, guard }
    const outcome = await poll(deps, POLL_OPTIONS, signal).catch((error) => error)
    expect(idle).toBe(0)
    return outcome
  }

  test('makes a poll start again each time, and the poll succeeds', async () => {
    await expect(contend(8)).resolves.toBe('caught_up')
  })

  test('ends a poll that never stores anything itself', async () => {
    await expect(contend(Number.POSITIVE_INFINITY)).resolves.toMatchObject({ code: 'NO_PROGRESS' })
  })

  test('makes a reconcile wait with backoff while it holds the lease', async () => {
    const tenant = await openLog([MINUTE])
    const triedAt: number[] = []
    const store: LastLogoutStore = {
      ...createMemoryStore(),
      acquireLease: async () => triedAt.push(performance.now()) > 5,
    }
    await openWorker(tenant, store).run('reconcile')
    const waits = triedAt.slice(1).map((at, n) => at - (triedAt[n] ?? at))
    expect(waits).toHaveLength(5)
    expect(waits.at(-1)).toBeGreaterThan(2 * (waits[0] ?? Number.NaN))
  })
})
