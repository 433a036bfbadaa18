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
import { DAY, HOUR, LOGOUT_TYPES, MINUTE, POLL_OPTIONS } from '../_support/poll.js'
import { openTestStore, readRows } from '../_support/store.js'
import { openSource, openTenant, type TestTenant } from '../_support/tenant.js'

// A poll is one run of the worker. Its catch-up reads pages from the checkpoint, the log id to continue from, to the
// end of the log. At the first start, a sweep also searches the older part of the log for logouts. When both are
// complete, the poll sets `as_of`, the time up to which the log has been read. Only the process that holds a lease can
// poll. In the log, an entry with the type `slo` is a logout, and an entry with the type `s` is a login.

/** The path of Auth0's Logs API. */
const LOGS_PATH = '/api/v2/logs'
/** Maximum number of entries that Auth0 returns for one search. */
const MAX_SEARCH_ENTRIES = 1_000
/** With a poll interval of 0, a sweep pauses for a catch-up before each of its searches. */
const OPTIONS: PollOptions = { ...POLL_OPTIONS, pollIntervalMs: 0 }

let database: TestDatabase
let store: LastLogoutStore & { close(): Promise<void> }
let auth0: TestTenant
beforeEach(async () => {
  database = await createTestDatabase()
  store = await openTestStore(database)
  auth0 = await openTenant()
})
afterEach(async () => {
  await Promise.all([auth0.close(), store.close()])
  await database.drop()
})

/** Polls once. Returns the outcome and the reported progress. */
async function runPoll(
  overrides: { source?: LogSource; store?: LastLogoutStore; signal?: AbortSignal } = {},
) {
  const reports: SyncProgress[] = []
  const deps = {
    source: overrides.source ?? auth0.source,
    store: overrides.store ?? store,
    types: LOGOUT_TYPES,
    onProgress: (progress: SyncProgress) => {
      reports.push(progress)
    },
  }
  const signal = overrides.signal ?? new AbortController().signal
  return { outcome: await poll(deps, OPTIONS, signal), reports }
}

/** Replaces the tenant by a new tenant with these options. */
async function replaceTenant(tenantOptions: Partial<SimulatedTenantOptions>): Promise<void> {
  await auth0.close()
  auth0 = await openTenant(tenantOptions)
}

/** Logs out `count` users: `auth0|0`, `auth0|1` and so on. `dateOf` returns the time of the logout with this index. */
function logOut(count: number, dateOf: (index: number) => number): void {
  for (let index = 0; index < count; index++) {
    const entry = buildEntry('slo', { userId: `auth0|${index}`, sessionId: `S${index}` })
    auth0.tenant.write(entry, { dateMs: dateOf(index) })
  }
}

/** Replaces the responses to all further requests of the Logs API, or only to those for which `when` returns true. */
function replaceResponses(respond: faults.FaultHandler, when: (url: URL) => boolean = () => true) {
  auth0.simulator.faults.push({ path: LOGS_PATH, when, times: Infinity, respond })
}

describe('10,000 entries with 2,000 logouts of 2,000 users', () => {
  const generateLog = ({ seed }: { seed: number }) =>
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
    'a poll stores the expected rows, and a second poll changes nothing (seed %d) (pitfall 2)',
    async (seed) => {
      const log = generateLog({ seed })
      // Computed by other code than the code under test.
      const expected = expectedFromLog(log)
      expect(expected.events).toBeGreaterThan(1_500)
      expect(expected.unattributable.length).toBeGreaterThan(0)
      auth0.tenant.writeStored(log)

      await runPoll()
      expect(await readRows(database)).toEqual(expected.rows)
      // An unattributable entry may be a logout, but names neither a user nor a session.
      const unattributable = await database.query<{ id: string }>('SELECT id FROM unattributable')
      expect(unattributable.map(({ id }) => id).sort()).toEqual(expected.unattributable)

      const rowsBefore = await database.query('SELECT * FROM last_logout ORDER BY user_id')
      const secondPoll = await runPoll()
      expect(secondPoll).toEqual({ outcome: 'caught_up', reports: [] })
      expect(await database.query('SELECT * FROM last_logout ORDER BY user_id')).toEqual(rowsBefore)
    },
  )

  test('two concurrent polls and a third poll, which reads the log from the beginning again, store the expected rows', async () => {
    const log = generateLog({ seed: 3 })
    auth0.tenant.writeStored(log)
    const otherStore = await openTestStore(database)
    /** Grants the lease to every poll, so that two polls can run concurrently. */
    const withoutLease = (pollStore: LastLogoutStore): LastLogoutStore => ({
      ...pollStore,
      acquireLease: pollStore.readProgress,
    })
    await Promise.all([
      runPoll({ store: withoutLease(store) }),
      runPoll({ store: withoutLease(otherStore), source: openSource(auth0.simulator) }),
    ])
    // Lets the third poll begin as at a first start.
    await database.query('UPDATE tenant SET checkpoint = NULL, as_of = NULL')
    await runPoll()
    await otherStore.close()
    expect(await readRows(database)).toEqual(expectedFromLog(log).rows)
  })

  test('polls store the expected rows, even if each poll is aborted after its third write (pitfall 9)', async () => {
    const log = generateLog({ seed: 4 })
    auth0.tenant.writeStored(log)
    // Far more polls than are needed. Without this limit, a poll that makes no progress would be repeated forever.
    const maxPolls = 200
    for (let polls = 0; polls < maxPolls; polls++) {
      const stop = new AbortController()
      let writes = 0
      const abortAtThirdWrite = () => {
        writes++
        if (writes === 3) stop.abort()
      }
      const abortingStore: LastLogoutStore = {
        ...store,
        storePage: async (page) => {
          abortAtThirdWrite()
          return store.storePage(page)
        },
        storeSweep: async (batch, part) => {
          abortAtThirdWrite()
          return store.storeSweep(batch, part)
        },
      }
      try {
        await runPoll({ store: abortingStore, signal: stop.signal })
        break
      } catch (error) {
        expect(error).toMatchObject({ code: 'ABORTED' })
      }
    }
    expect(await readRows(database)).toEqual(expectedFromLog(log).rows)
    // `sweep` is the span that must still be swept.
    await expect(store.readProgress()).resolves.toMatchObject({
      sweep: null,
      asOf: expect.any(Number),
    })
  })
})

describe('a first start', () => {
  test('a first start reads pages from shortly before now, and sweeps older entries, the newest first', async () => {
    logOut(50, (n) => Date.now() - n * 12 * HOUR - 1_000)
    const { reports } = await runPoll()
    expect((await readRows(database)).users).toHaveLength(50)
    // Only the newest logout is recent enough to be read in pages.
    expect(reports[0]).toMatchObject({ stage: 'catch-up', entries: 1 })
    const sweptBackTo = reports
      .filter(({ stage }) => stage === 'sweep')
      .map(({ reachedAt }) => reachedAt ?? 0)
    expect(sweptBackTo).toEqual([...sweptBackTo].sort((a, b) => b - a))
    const firstPage = auth0.simulator.requests.all().find(({ url }) => url.includes('from='))
    // The first checkpoint is the id of no entry. It consists of a prefix, a time to the second, and zeros.
    expect(firstPage?.url).toMatch(/from=900\d{14}0{39}&take=100$/)
  })

  test('a sweep splits a span that contains more entries than a search returns (pitfall 4)', async () => {
    const at = Date.now() - DAY
    const count = 2.6 * MAX_SEARCH_ENTRIES
    // Three logouts per millisecond.
    logOut(count, (n) => at + Math.floor(n / 3))
    await runPoll()
    expect((await readRows(database)).users).toHaveLength(count)
  })

  test('a sweep fails if one millisecond contains more entries than a search returns', async () => {
    const at = Date.now() - DAY
    logOut(MAX_SEARCH_ENTRIES + 1, () => at)
    await expect(runPoll()).rejects.toMatchObject({ code: 'AUTH0_MALFORMED_PAGE' })
    await expect(store.readProgress()).resolves.toMatchObject({ asOf: null })
  })

  test('a sweep continues after a short page, and ends at an empty page', async () => {
    logOut(250, (n) => Date.now() - DAY - n * 1_000)
    const sourceWithShortPage: LogSource = {
      ...auth0.source,
      // The last entry of the first page moves to the second page.
      search: async (search, abortSignal) => {
        const page = await auth0.source.search(search, abortSignal)
        if (search.page !== 0 && search.page !== 1) return page
        const first = await auth0.source.search({ ...search, page: 0 }, abortSignal)
        const entries =
          search.page === 0
            ? first.entries.slice(0, 99)
            : [...first.entries.slice(99), ...page.entries]
        return { ...page, entries }
      },
    }
    await runPoll({ source: sourceWithShortPage })
    expect((await readRows(database)).users).toHaveLength(250)
  })

  test('a first start searches no further back than the earliest login of a valid token', async () => {
    // Under OPTIONS, the earliest login of a valid token was 31 days ago: refresh tokens are used for 30 days, and the
    // last access token is valid for one day.
    const daysAgo = [30.9, 31.1]
    logOut(2, (n) => Date.now() - (daysAgo[n] ?? Number.NaN) * DAY)
    await runPoll()
    expect((await readRows(database)).users).toMatchObject([{ userId: 'auth0|0' }])
  })

  test('as_of is null until the sweep is complete, and the next poll continues the sweep', async () => {
    // With an entry of this age, the log reaches back to the earliest login of a valid token. So no gap is recorded.
    auth0.tenant.write(buildEntry('s', { userId: 'auth0|old' }), { dateMs: Date.now() - 32 * DAY })
    logOut(3, (n) => Date.now() - n * DAY - 1_000)
    replaceResponses(faults.html(502), (url) => url.searchParams.has('q'))
    await expect(runPoll()).rejects.toMatchObject({ code: 'AUTH0_UNAVAILABLE' })
    // The catch-up has read the newest logout. The sweep, whose searches fail, has read nothing.
    expect((await readRows(database)).users).toHaveLength(1)
    await expect(store.readKnownLogouts('auth0|0', null)).resolves.toMatchObject({
      asOf: null,
      complete: false,
    })
    auth0.simulator.faults.clear()
    await runPoll()
    expect((await readRows(database)).users).toHaveLength(3)
    await expect(store.readKnownLogouts('auth0|0', null)).resolves.toMatchObject({
      asOf: expect.any(Number),
      complete: true,
    })
  })

  test('a first start reads new entries while it sweeps', async () => {
    logOut(3, (n) => Date.now() - (n + 1) * DAY)
    let searches = 0
    const sourceWithNewEntry: LogSource = {
      ...auth0.source,
      search: async (search, abortSignal) => {
        if (++searches === 1) auth0.tenant.write(buildEntry('slo', { userId: 'auth0|late' }))
        return auth0.source.search(search, abortSignal)
      },
    }
    const { reports } = await runPoll({ source: sourceWithNewEntry })
    const lastSweep = reports.findLastIndex(({ stage }) => stage === 'sweep')
    const newLogout = reports.findIndex(({ stage, events }) => stage === 'catch-up' && events === 1)
    expect(newLogout).toBeGreaterThan(-1)
    expect(newLogout).toBeLessThan(lastSweep)
  })

  test('a first start uses the log id prefix of the tenant', async () => {
    await replaceTenant({ prefix: '800' })
    logOut(4, (n) => Date.now() - n * DAY - 1_000)
    await runPoll()
    expect((await readRows(database)).users).toHaveLength(4)
    auth0.tenant.write(buildEntry('slo', { userId: 'auth0|new' }))
    await runPoll()
    expect((await readRows(database)).users).toHaveLength(5)
  })

  test('a first start sets as_of if the log is empty, and a later poll sets the checkpoint when there is an entry', async () => {
    await runPoll()
    await expect(store.readProgress()).resolves.toMatchObject({
      checkpoint: null,
      asOf: expect.any(Number),
    })
    auth0.tenant.write(buildEntry('slo', { userId: 'auth0|first' }))
    await runPoll()
    expect((await readRows(database)).users).toMatchObject([{ userId: 'auth0|first' }])
  })

  test('polls sweep a log whose pages were empty at first, as they are if a scope is missing', async () => {
    logOut(3, (n) => Date.now() - (n + 1) * DAY)
    // Each of the first two polls sends one request.
    auth0.simulator.faults.push({ path: LOGS_PATH, times: 2, respond: faults.respondWith(200, []) })
    for (let polls = 0; polls < 3; polls++) await runPoll()
    expect((await readRows(database)).users).toHaveLength(3)
    // The log reaches back three days only. Logouts of valid tokens can be older than that.
    await expect(store.readGaps()).resolves.toMatchObject([{ reason: 'cold_start' }])
  })

  test('a log whose pages were empty at first is swept, even if the worker ends while it stores the first checkpoint', async () => {
    logOut(3, (n) => Date.now() - (n + 1) * DAY)
    auth0.simulator.faults.push({ path: LOGS_PATH, times: 2, respond: faults.respondWith(200, []) })
    for (let polls = 0; polls < 2; polls++) await runPoll()
    const setFirstCheckpoint = () => Promise.reject(new Error('The worker ended.'))
    await expect(runPoll({ store: { ...store, setFirstCheckpoint } })).rejects.toThrow('ended')
    await runPoll()
    expect((await readRows(database)).users).toHaveLength(3)
  })
})

describe('a poll after the first start', () => {
  test('a poll reads only the entries since the last poll', async () => {
    logOut(1, () => Date.now() - 1_000)
    await runPoll()
    auth0.tenant.write(buildEntry('slo', { userId: 'auth0|next' }))
    const { reports } = await runPoll()
    expect(reports).toMatchObject([{ stage: 'catch-up', pages: 1, entries: 1, events: 1 }])
  })

  test('the checkpoint is the last delivered entry, not the entry with the newest date (pitfall 3)', async () => {
    await runPoll()
    const now = Date.now()
    // Log ids are in the order of `storedAtMs`.
    auth0.tenant.write(buildEntry('slo', { userId: 'auth0|a' }), {
      dateMs: now - 10,
      storedAtMs: now - 9,
    })
    const lastDelivered = auth0.tenant.write(buildEntry('slo', { userId: 'auth0|b' }), {
      dateMs: now - 5_000,
      storedAtMs: now - 5,
    })
    const { reports } = await runPoll()
    // If the entry with the newest date were the checkpoint, the last entry would be read again.
    expect(reports).toMatchObject([{ pages: 1, entries: 2 }])
    await expect(store.readProgress()).resolves.toMatchObject({
      checkpoint: lastDelivered.logId,
    })
  })

  test('a poll at the end of the log keeps the checkpoint (pitfall 2)', async () => {
    const { logId } = auth0.tenant.write(buildEntry('slo', { userId: 'auth0|1' }))
    await runPoll()
    const { asOf } = await store.readProgress()
    await runPoll()
    const progressAfter = await store.readProgress()
    expect(progressAfter.checkpoint).toBe(logId)
    expect(progressAfter.asOf).toBeGreaterThanOrEqual(asOf ?? Number.NaN)
  })

  test('a poll continues after unreadable entries, and stores them as unattributable (pitfall 5)', async () => {
    logOut(1, () => Date.now() - 2_000)
    await runPoll()
    const at = Date.now() - 1_000
    const page = [
      null,
      'nonsense',
      { type: 'slo', user_id: '', log_id: syntheticLogId(at) },
      { type: 'slo', user_id: 'auth0|nul\u0000', details: {}, log_id: syntheticLogId(at + 1) },
      { ...buildEntry('slo', { userId: 'auth0|good' }), log_id: syntheticLogId(at + 2) },
    ]
    auth0.simulator.faults.push({ path: LOGS_PATH, respond: faults.respondWith(200, page) })
    await runPoll()
    const { users } = await readRows(database)
    expect(users.map(({ userId }) => userId)).toEqual(['auth0|0', 'auth0|good'])
    await expect(store.count()).resolves.toMatchObject({
      // The entry whose user id contains the character NUL has no subject, because PostgreSQL cannot store NUL.
      unattributable: { malformed: 2, no_subject: 2 },
    })
    await expect(store.readProgress()).resolves.toMatchObject({
      checkpoint: syntheticLogId(at + 2),
    })
  })

  test('a poll stores an entry as unattributable if the entry is nested too deeply for JSON.stringify', async () => {
    logOut(1, () => Date.now() - 2_000)
    await runPoll()
    const depth = 20_000
    const deepEntry = JSON.parse(`${'['.repeat(depth)}${']'.repeat(depth)}`)
    const logId = syntheticLogId(Date.now() - 1_000)
    // The page after the checkpoint contains the deep entry, and then an entry with this log id.
    const source: LogSource = {
      ...auth0.source,
      readPage: async (from, abortSignal) =>
        from === logId
          ? auth0.source.readPage(from, abortSignal)
          : {
              entries: [deepEntry, { log_id: logId, type: 's' }],
              next: logId,
              requestedAt: Date.now(),
            },
    }
    await runPoll({ source })
    await expect(store.count()).resolves.toMatchObject({ unattributable: { malformed: 1 } })
    await expect(store.readProgress()).resolves.toMatchObject({ checkpoint: logId })
  })

  test('a logout whose log id contains a future time is stored with the current time, and does not move as_of into the future', async () => {
    logOut(1, () => Date.now() - 2_000)
    await runPoll()
    const logId = syntheticLogId(Date.UTC(2150, 0, 1))
    const page = [{ ...buildEntry('slo', { userId: 'auth0|odd' }), date: null, log_id: logId }]
    auth0.simulator.faults.push({ path: LOGS_PATH, respond: faults.respondWith(200, page) })
    // Ends the poll after this page, before a response at the end of the log can set as_of.
    replaceResponses(faults.html(502))
    await expect(runPoll()).rejects.toMatchObject({ code: 'AUTH0_UNAVAILABLE' })
    expect((await store.readProgress()).asOf).toBeLessThanOrEqual(Date.now())
    const { user, now } = await store.readKnownLogouts('auth0|odd', null)
    expect(user?.at).toBeLessThanOrEqual(now)
    expect(user?.at).toBeGreaterThan(now - MINUTE)
  })

  test('a poll fails at a page that is not valid JSON, and the next poll reads that page (pitfall 5)', async () => {
    logOut(1, () => Date.now() - 2_000)
    await runPoll()
    const { checkpoint } = await store.readProgress()
    auth0.tenant.write(buildEntry('slo', { userId: 'auth0|kept' }))
    replaceResponses(faults.cutOffJson())
    await expect(runPoll()).rejects.toMatchObject({ code: 'AUTH0_MALFORMED_PAGE' })
    await expect(store.readProgress()).resolves.toMatchObject({ checkpoint })
    auth0.simulator.faults.clear()
    await runPoll()
    expect((await readRows(database)).users).toHaveLength(2)
  })

  test('a poll requests the next page while it stores a page', async () => {
    logOut(1, () => Date.now() - 2_000)
    await runPoll()
    logOut(250, () => Date.now() - 1_000)
    const steps: string[] = []
    await runPoll({
      source: {
        ...auth0.source,
        readPage: (from, abortSignal) => {
          steps.push('requested')
          return auth0.source.readPage(from, abortSignal)
        },
      },
      store: {
        ...store,
        storePage: async (page) => {
          const isStored = await store.storePage(page)
          steps.push('stored')
          return isStored
        },
      },
    })
    // The second page was requested before the first page was stored.
    expect(steps.slice(0, 2)).toEqual(['requested', 'requested'])
    expect(steps).toContain('stored')
  })

  test('a poll discards its pages when another process has moved the checkpoint, and continues from the new checkpoint', async () => {
    logOut(1, () => Date.now() - 3_000)
    await runPoll()
    const otherLogout = auth0.tenant.write(buildEntry('slo', { userId: 'auth0|b' }), {
      dateMs: Date.now() - 2_000,
    })
    auth0.tenant.write(buildEntry('slo', { userId: 'auth0|c' }), { dateMs: Date.now() - 1_000 })
    let hasMovedCheckpoint = false
    const { reports } = await runPoll({
      store: {
        ...store,
        storePage: async (page) => {
          // What another process does: it stores the rows, and moves the checkpoint to the first of the two logouts.
          if (!hasMovedCheckpoint) await store.storePage({ ...page, next: otherLogout.logId })
          hasMovedCheckpoint = true
          return store.storePage(page)
        },
      },
    })
    // After the new checkpoint, the log has only the logout of `auth0|c`.
    expect(reports).toMatchObject([{ entries: 1 }])
    expect((await readRows(database)).users).toHaveLength(3)
  })

  test('a poll sends no request while another process holds the lease, and acquires the lease afterwards', async () => {
    await store.acquireLease('another process', MINUTE)
    await expect(runPoll()).resolves.toMatchObject({ outcome: 'lease_held' })
    expect(auth0.simulator.requests.count({ path: LOGS_PATH })).toBe(0)
    await store.releaseLease('another process')
    await expect(runPoll()).resolves.toMatchObject({ outcome: 'caught_up' })
  })

  test('a poll releases the lease, even if the poll ends while the lease is being renewed', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
    let attempts = 0
    let allowRenewal = () => {}
    const whenRenewalAllowed = new Promise<void>((resolve) => {
      allowRenewal = resolve
    })
    const slowStore: LastLogoutStore = {
      ...store,
      acquireLease: async (owner, ttlMs) => {
        if (++attempts > 1) await whenRenewalAllowed
        return store.acquireLease(owner, ttlMs)
      },
      storeCaughtUp: async (checkpoint, requestedAt) => {
        // A poll renews its lease of 30 seconds every 10 seconds.
        if (attempts === 1) vi.advanceTimersByTime(10_000)
        return store.storeCaughtUp(checkpoint, requestedAt)
      },
    }
    const polling = runPoll({ store: slowStore })
    await expect.poll(() => attempts).toBe(2)
    vi.useRealTimers()
    allowRenewal()
    await polling
    await expect(store.acquireLease('another process', MINUTE)).resolves.not.toBeNull()
  })

  test('a poll releases the lease when it fails', async () => {
    replaceResponses(faults.missingScope())
    await expect(runPoll()).rejects.toMatchObject({ code: 'AUTH0_SCOPE' })
    await expect(store.acquireLease('another process', MINUTE)).resolves.not.toBeNull()
  })
})
