import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { SyncProgress } from '../../src/measurements.js'
import type { LastLogoutStore, LogSource } from '../../src/ports.js'
import { syntheticLogId } from '../../src/rules/log-id.js'
import { buildEntry } from '../../src/simulator/entries.js'
import * as faults from '../../src/simulator/faults.js'
import { generateHistory } from '../../src/simulator/history.js'
import type { SimulatedTenantOptions } from '../../src/simulator/tenant.js'
import { type PollOptions, poll } from '../../src/sync/poll.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { expectedFromLog } from '../_support/expected-rows.js'
import { DAY, HOUR, POLL_OPTIONS, TYPES } from '../_support/poll.js'
import { openTestStore, readRows } from '../_support/store.js'
import { openSource, openTenant, type TestTenant } from '../_support/tenant.js'

const LOGS = '/api/v2/logs'
// A sweep catches up before each of its requests.
const options: PollOptions = { ...POLL_OPTIONS, pollIntervalMs: 0 }
const { signal } = new AbortController()

let database: TestDatabase
let store: LastLogoutStore & { close(): Promise<void> }
let t: TestTenant
beforeEach(async () => {
  database = await createTestDatabase()
  store = await openTestStore(database)
  t = await openTenant()
})
afterEach(async () => {
  await Promise.all([t.close(), store.close()])
  await database.drop()
})

/** Reads the log to its end. Returns the reported progress. */
async function run(
  over: { source?: LogSource; store?: LastLogoutStore; signal?: AbortSignal } = {},
) {
  const reported: SyncProgress[] = []
  const onProgress = (progress: SyncProgress) => void reported.push(progress)
  const [source, to] = [over.source ?? t.source, over.store ?? store]
  const deps = { source, store: to, types: TYPES, onProgress }
  const outcome = await poll(deps, options, over.signal ?? signal)
  return { outcome, reported }
}

async function reopen(tenantOptions: Partial<SimulatedTenantOptions>): Promise<void> {
  await t.close()
  t = await openTenant(tenantOptions)
}

const logouts = (count: number, at: (n: number) => number) => {
  for (let n = 0; n < count; n++) {
    const entry = buildEntry('slo', { userId: `auth0|${n}`, sessionId: `S${n}` })
    t.tenant.write(entry, { dateMs: at(n) })
  }
}

describe('10,000 entries with 2,000 logouts of 2,000 users', () => {
  const history = (seed: number) =>
    generateHistory({
      entries: 10_000,
      logoutShare: 0.2,
      users: 2_000,
      duplicateShare: 0.02,
      bytes: 1_500,
      startMs: Date.now() - 2 * HOUR,
      endMs: Date.now() - 1_000,
      domain: 'tenant.example',
      seed,
    })

  test.each([1, 2])(
    'are stored as the expected rows, and a second sync changes nothing (seed %d) (P2)',
    async (seed) => {
      const log = history(seed)
      const expected = expectedFromLog(log)
      expect(expected.events).toBeGreaterThan(1_500)
      expect(expected.unattributable.length).toBeGreaterThan(0)
      t.tenant.writeStored(log)

      await run()
      const rows = await readRows(database)
      expect(rows).toEqual(expected.rows)
      const kept = await database.query<{ id: string }>('SELECT id FROM unattributable')
      expect(kept.map(({ id }) => id).sort()).toEqual(expected.unattributable)

      const before = await database.query('SELECT * FROM last_logout ORDER BY user_id')
      const again = await run()
      expect(again).toEqual({ outcome: 'caught_up', reported: [] })
      expect(await database.query('SELECT * FROM last_logout ORDER BY user_id')).toEqual(before)
    },
  )

  test('are stored as the same rows by two concurrent workers and a third one that starts again', async () => {
    const log = history(3)
    t.tenant.writeStored(log)
    const other = await openTestStore(database)
    const withoutLease = { ...other, acquireLease: async () => true }
    await Promise.all([
      run({ store: { ...store, acquireLease: async () => true } }),
      run({ store: withoutLease, source: openSource(t.simulator) }),
    ])
    await database.query('UPDATE tenant SET checkpoint = NULL, as_of = NULL')
    await run()
    await other.close()
    expect(await readRows(database)).toEqual(expectedFromLog(log).rows)
  })

  test('are read completely by the next poll, after an abort at any point (P9)', async () => {
    const log = history(4)
    t.tenant.writeStored(log)
    for (let polls = 1; polls < 200; polls++) {
      const stop = new AbortController()
      let stored = 0
      const interrupted: LastLogoutStore = {
        ...store,
        storePage: async (page) => {
          if (++stored === 3) stop.abort()
          return store.storePage(page)
        },
        storeSweep: async (batch, part) => {
          if (++stored === 3) stop.abort()
          return store.storeSweep(batch, part)
        },
      }
      const outcome = await run({ store: interrupted, signal: stop.signal }).catch((error) => error)
      if (outcome.outcome === 'caught_up') break
      expect(outcome).toMatchObject({ code: 'ABORTED' })
    }
    expect(await readRows(database)).toEqual(expectedFromLog(log).rows)
    await expect(store.readProgress()).resolves.toMatchObject({
      sweep: null,
      asOf: expect.any(Number),
    })
  })
})

describe('a first start', () => {
  test('reads pages from a little before now on, and sweeps older entries, the newest first', async () => {
    logouts(50, (n) => Date.now() - n * 12 * HOUR - 1_000)
    const { reported } = await run()
    expect((await readRows(database)).users).toHaveLength(50)
    expect(reported[0]).toMatchObject({ stage: 'catch-up', entries: 1 })
    const swept = reported
      .filter(({ stage }) => stage === 'sweep')
      .map(({ reachedAt }) => reachedAt ?? 0)
    expect(swept).toEqual([...swept].sort((a, b) => b - a))
    const [first] = t.simulator.requests.all().filter(({ url }) => url.includes('from='))
    expect(first?.url).toMatch(/from=900\d{14}0{39}&take=100$/)
  })

  test('splits a span that holds more entries than a search returns (P4)', async () => {
    const at = Date.now() - DAY
    logouts(2_600, (n) => at + Math.floor(n / 3))
    await run()
    expect((await readRows(database)).users).toHaveLength(2_600)
  })

  test('reports a millisecond that holds more entries than a search returns', async () => {
    const at = Date.now() - DAY
    logouts(1_001, () => at)
    await expect(run()).rejects.toMatchObject({ code: 'AUTH0_MALFORMED_PAGE' })
    await expect(store.readProgress()).resolves.toMatchObject({ asOf: null })
  })

  test('reads a span up to an empty page, since a short page need not be the last', async () => {
    logouts(250, (n) => Date.now() - DAY - n * 1_000)
    const stingy: LogSource = {
      ...t.source,
      // The first page lacks an entry, which is the first one of the next page.
      search: async (search, aborted) => {
        const page = await t.source.search(search, aborted)
        if (search.page !== 0 && search.page !== 1) return page
        const first = await t.source.search({ ...search, page: 0 }, aborted)
        const entries =
          search.page === 0
            ? first.entries.slice(0, 99)
            : [...first.entries.slice(99), ...page.entries]
        return { ...page, entries }
      },
    }
    await run({ source: stingy })
    expect((await readRows(database)).users).toHaveLength(250)
  })

  test('searches no further back than the earliest login of a valid token', async () => {
    logouts(2, (n) => Date.now() - (30.9 + n * 0.2) * DAY)
    await run()
    expect((await readRows(database)).users).toMatchObject([{ userId: 'auth0|0' }])
  })

  test('reports no freshness before the sweep is complete, and continues it at the next poll', async () => {
    // The first entry is so old that the log reaches back to the earliest login of a valid token: there is no gap.
    t.tenant.write(buildEntry('s', { userId: 'auth0|old' }), { dateMs: Date.now() - 32 * DAY })
    logouts(3, (n) => Date.now() - n * DAY - 1_000)
    const isSearch = (url: URL) => url.searchParams.has('q')
    t.simulator.faults.push({ path: LOGS, when: isSearch, times: 99, respond: faults.html(502) })
    await expect(run()).rejects.toMatchObject({ code: 'AUTH0_UNAVAILABLE' })
    expect((await readRows(database)).users).toHaveLength(1)
    await expect(store.readKnown('auth0|0', null)).resolves.toMatchObject({
      asOf: null,
      complete: false,
    })
    t.simulator.faults.clear()
    await run()
    expect((await readRows(database)).users).toHaveLength(3)
    await expect(store.readKnown('auth0|0', null)).resolves.toMatchObject({
      asOf: expect.any(Number),
      complete: true,
    })
  })

  test('reads new entries while it sweeps', async () => {
    logouts(3, (n) => Date.now() - (n + 1) * DAY)
    const spans = { count: 0 }
    const busy: LogSource = {
      ...t.source,
      search: async (search, aborted) => {
        if (++spans.count === 1) t.tenant.write(buildEntry('slo', { userId: 'auth0|late' }))
        return t.source.search(search, aborted)
      },
    }
    const { reported } = await run({ source: busy })
    const lastSweep = reported.findLastIndex(({ stage }) => stage === 'sweep')
    const late = reported.findIndex(({ stage, events }) => stage === 'catch-up' && events === 1)
    expect(late).toBeGreaterThan(-1)
    expect(late).toBeLessThan(lastSweep)
  })

  test('uses the log id prefix of the tenant', async () => {
    await reopen({ prefix: '800' })
    logouts(4, (n) => Date.now() - n * DAY - 1_000)
    await run()
    expect((await readRows(database)).users).toHaveLength(4)
    t.tenant.write(buildEntry('slo', { userId: 'auth0|new' }))
    await run()
    expect((await readRows(database)).users).toHaveLength(5)
  })

  test('makes the data fresh if the log is empty, and sets the checkpoint when an entry appears', async () => {
    await run()
    await expect(store.readProgress()).resolves.toMatchObject({
      checkpoint: null,
      asOf: expect.any(Number),
    })
    t.tenant.write(buildEntry('slo', { userId: 'auth0|first' }))
    await run()
    expect((await readRows(database)).users).toMatchObject([{ userId: 'auth0|first' }])
  })

  test('sweeps a log that Auth0 presented as empty before, as it does without a scope', async () => {
    logouts(3, (n) => Date.now() - (n + 1) * DAY)
    t.simulator.faults.push({ path: LOGS, times: 2, respond: faults.respondWith(200, []) })
    for (let polls = 0; polls < 3; polls++) await run()
    expect((await readRows(database)).users).toHaveLength(3)
    await expect(store.readGaps()).resolves.toMatchObject([{ reason: 'cold_start' }])
  })
})

describe('a poll', () => {
  test('reads the entries since the last poll', async () => {
    logouts(1, () => Date.now() - 1_000)
    await run()
    t.tenant.write(buildEntry('slo', { userId: 'auth0|next' }))
    const { reported } = await run()
    expect(reported).toMatchObject([{ stage: 'catch-up', pages: 1, entries: 1, events: 1 }])
  })

  test('uses the last delivered entry as its checkpoint, not the newest date (P3)', async () => {
    await run()
    const now = Date.now()
    t.tenant.write(buildEntry('slo', { userId: 'auth0|a' }), {
      dateMs: now - 10,
      storedAtMs: now - 9,
    })
    const last = t.tenant.write(buildEntry('slo', { userId: 'auth0|b' }), {
      dateMs: now - 5_000,
      storedAtMs: now - 5,
    })
    const { reported } = await run()
    // If the newest date were the checkpoint, the last entry would be read again.
    expect(reported).toMatchObject([{ pages: 1, entries: 2 }])
    await expect(store.readProgress()).resolves.toMatchObject({ checkpoint: last.logId })
  })

  test('keeps the checkpoint at the end of the log (P2)', async () => {
    const { logId } = t.tenant.write(buildEntry('slo', { userId: 'auth0|1' }))
    await run()
    const { asOf } = await store.readProgress()
    await run()
    const after = await store.readProgress()
    expect(after.checkpoint).toBe(logId)
    expect(after.asOf).toBeGreaterThanOrEqual(asOf ?? Number.NaN)
  })

  test('continues after unreadable entries, and stores them (P5)', async () => {
    logouts(1, () => Date.now() - 2_000)
    await run()
    const at = Date.now() - 1_000
    const page = [
      null,
      'nonsense',
      { type: 'slo', user_id: '', log_id: syntheticLogId(at) },
      { type: 'slo', user_id: 'auth0|nul\u0000', details: {}, log_id: syntheticLogId(at + 1) },
      { ...buildEntry('slo', { userId: 'auth0|good' }), log_id: syntheticLogId(at + 2) },
    ]
    t.simulator.faults.push({ path: LOGS, respond: faults.respondWith(200, page) })
    await run()
    const { users } = await readRows(database)
    expect(users.map(({ userId }) => userId)).toEqual(['auth0|0', 'auth0|good'])
    await expect(store.count()).resolves.toMatchObject({
      unattributable: { malformed: 2, no_subject: 2 },
    })
    await expect(store.readProgress()).resolves.toMatchObject({
      checkpoint: syntheticLogId(at + 2),
    })
  })

  test('stores an entry that is nested too deeply to be serialized', async () => {
    logouts(1, () => Date.now() - 2_000)
    await run()
    const depth = 20_000
    const deep = JSON.parse(`${'['.repeat(depth)}${']'.repeat(depth)}`)
    const logId = syntheticLogId(Date.now() - 1_000)
    const source: LogSource = {
      ...t.source,
      readPage: async (from, aborted) =>
        from === logId
          ? t.source.readPage(from, aborted)
          : { entries: [deep, { log_id: logId, type: 's' }], next: logId, requestedAt: Date.now() },
    }
    await run({ source })
    await expect(store.count()).resolves.toMatchObject({ unattributable: { malformed: 1 } })
    await expect(store.readProgress()).resolves.toMatchObject({ checkpoint: logId })
  })

  test('does not derive freshness from a log id with a future time', async () => {
    logouts(1, () => Date.now() - 2_000)
    await run()
    const logId = syntheticLogId(Date.UTC(2150, 0, 1))
    const page = [{ ...buildEntry('slo', { userId: 'auth0|odd' }), date: null, log_id: logId }]
    t.simulator.faults.push({ path: LOGS, respond: faults.respondWith(200, page) })
    t.simulator.faults.push({ path: LOGS, times: 99, respond: faults.html(502) })
    await expect(run()).rejects.toMatchObject({ code: 'AUTH0_UNAVAILABLE' })
    expect((await store.readProgress()).asOf).toBeLessThanOrEqual(Date.now())
    const { user, now } = await store.readKnown('auth0|odd', null)
    expect(user?.at).toSatisfy((at: number) => at <= now && at > now - 60_000)
  })

  test('never skips an unreadable page (P5)', async () => {
    logouts(1, () => Date.now() - 2_000)
    await run()
    const { checkpoint } = await store.readProgress()
    t.tenant.write(buildEntry('slo', { userId: 'auth0|kept' }))
    t.simulator.faults.push({ path: LOGS, times: 99, respond: faults.cutOffJson() })
    await expect(run()).rejects.toMatchObject({ code: 'AUTH0_MALFORMED_PAGE' })
    await expect(store.readProgress()).resolves.toMatchObject({ checkpoint })
    t.simulator.faults.clear()
    await run()
    expect((await readRows(database)).users).toHaveLength(2)
  })

  test('requests the next page while one is being stored', async () => {
    logouts(1, () => Date.now() - 2_000)
    await run()
    logouts(250, () => Date.now() - 1_000)
    const order: string[] = []
    await run({
      source: {
        ...t.source,
        readPage: (from, aborted) => {
          order.push('asked')
          return t.source.readPage(from, aborted)
        },
      },
      store: {
        ...store,
        storePage: async (page) => {
          const stored = await store.storePage(page)
          order.push('stored')
          return stored
        },
      },
    })
    expect(order.slice(0, 3)).toEqual(['asked', 'asked', 'stored'])
  })

  test('discards its pages when another poller has moved the checkpoint, and continues from that one', async () => {
    logouts(1, () => Date.now() - 3_000)
    await run()
    const between = t.tenant.write(buildEntry('slo', { userId: 'auth0|b' }), {
      dateMs: Date.now() - 2_000,
    })
    t.tenant.write(buildEntry('slo', { userId: 'auth0|c' }), { dateMs: Date.now() - 1_000 })
    const first = { done: false }
    const { reported } = await run({
      store: {
        ...store,
        storePage: async (page) => {
          if (!first.done)
            await store.storePage({ ...page, next: between.logId, batch: { ...page.batch } })
          first.done = true
          return store.storePage(page)
        },
      },
    })
    expect(reported).toMatchObject([{ entries: 1 }])
    expect((await readRows(database)).users).toHaveLength(3)
  })

  test('sends no request while another poller holds the lease, and takes it afterwards', async () => {
    await store.acquireLease('another', 60_000)
    await expect(run()).resolves.toMatchObject({ outcome: 'lease_held' })
    expect(t.simulator.requests.count({ path: LOGS })).toBe(0)
    await store.releaseLease('another')
    await expect(run()).resolves.toMatchObject({ outcome: 'caught_up' })
  })

  test('releases the lease, even while it is being renewed', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
    let asked = 0
    let letRenew = () => {}
    const renewalMayGoOn = new Promise<void>((resolve) => {
      letRenew = resolve
    })
    const slow: LastLogoutStore = {
      ...store,
      acquireLease: async (owner, ttlMs) => {
        if (++asked > 1) await renewalMayGoOn
        return store.acquireLease(owner, ttlMs)
      },
      readProgress: async () => {
        if (asked === 1) vi.advanceTimersByTime(10_000)
        return store.readProgress()
      },
    }
    const polled = run({ store: slow })
    await expect.poll(() => asked).toBe(2)
    vi.useRealTimers()
    letRenew()
    await polled
    await expect(store.acquireLease('next', 1_000)).resolves.toBe(true)
  })

  test('releases the lease when it fails', async () => {
    t.simulator.faults.push({ path: LOGS, times: 99, respond: faults.missingScope() })
    await expect(run()).rejects.toMatchObject({ code: 'AUTH0_SCOPE' })
    await expect(store.acquireLease('next', 1_000)).resolves.toBe(true)
  })
})
