import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { SyncProgress } from '../../src/measurements.js'
import type { LastLogoutStore, LogSource } from '../../src/ports.js'
import { buildEntry } from '../../src/simulator/entries.js'
import * as faults from '../../src/simulator/faults.js'
import { generateHistory } from '../../src/simulator/history.js'
import type { Finding, SyncDeps } from '../../src/sync/catch-up.js'
import { type PollOptions, poll, reconcile } from '../../src/sync/poll.js'
import { readEntries, toBatch } from '../../src/sync/read-batch.js'
import { type Clock, createClock } from '../_support/clock.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { expectedFromLog } from '../_support/expected-rows.js'
import { DAY, HOUR, LOGOUT_TYPES, MINUTE, POLL_OPTIONS, SECOND } from '../_support/poll.js'
import { openTestStore, readRows, readUserIds } from '../_support/store.js'
import { openTenant, type TestTenant } from '../_support/tenant.js'

// A poll reads the log in pages, from the checkpoint (the log id to continue from) to its end. Then `as_of` is the time
// up to which the log has been read. Auth0 stores some entries so late that a poll has already passed their place in
// the log. A reconcile is a poll, and then a search of the recent log for these late entries. The worker reconciles
// less often than it polls. After an outage of the worker, a poll uses the same kind of search.

/** Options of the simulated tenant: its management tokens stay valid when a test moves the clock ahead by days. */
const LONG_LIVED_TOKENS = { expiresInSeconds: 365 * (DAY / SECOND) }

let clock: Clock
let database: TestDatabase
let store: LastLogoutStore & { close(): Promise<void> }
let auth0: TestTenant
beforeEach(async () => {
  clock = createClock()
  database = await createTestDatabase()
  store = await openTestStore(database, { now: clock.now })
  auth0 = await openTenant({ now: clock.now }, LONG_LIVED_TOKENS)
  // A gap is a span of the log that Auth0 deleted before it was read. A poll records no gap if the oldest entry of the
  // log is older than every valid token. With POLL_OPTIONS, a valid token is at most 31 days old.
  auth0.tenant.write(buildEntry('s', { userId: 'u' }), { dateMs: clock.now() - 32 * DAY })
})
afterEach(async () => {
  await Promise.all([auth0.close(), store.close()])
  await database.drop()
})

/** Options with which a sweep pauses for a catch-up before each of its requests. */
const EAGER_CATCH_UP = { pollIntervalMs: 0 }

/** Runs a poll or a reconcile. Returns its findings, such as an outage. */
async function runOperation(
  operation: typeof poll | typeof reconcile,
  overrides: Partial<Pick<SyncDeps, 'source' | 'store' | 'onProgress'>> = {},
  options: Partial<PollOptions> = {},
): Promise<Finding[]> {
  const findings: Finding[] = []
  const onFinding = (finding: Finding) => {
    findings.push(finding)
  }
  const deps = { source: auth0.source, store, types: LOGOUT_TYPES, onFinding, ...overrides }
  await operation(deps, { ...POLL_OPTIONS, ...options }, new AbortController().signal)
  return findings
}

/**
 * Adds a logout to the log, with a storage time that is `agoMs` before now. If a poll has read the log since that time,
 * the logout is late: only a reconcile finds it.
 */
const writeLogout = (userId: string, agoMs = 0) =>
  auth0.tenant.write(buildEntry('slo', { userId, sessionId: `${userId}'s` }), {
    dateMs: clock.now() - agoMs,
  })
const readUsers = () => readUserIds(database)
/** Returns how many rows have changed because a reconcile found a late entry. */
const countReconciledRows = async () => (await store.count()).reconciled
/** Counts the requests for pages (`from`) or searches (`q`), by the first parameter of their URL. */
const countRequests = (kind: 'from' | 'q') =>
  auth0.simulator.requests.all().filter(({ url }) => url.includes(`?${kind}=`)).length

describe('a reconcile', () => {
  test('reconcile finds a late entry, and counts the changed rows', async () => {
    writeLogout('a', MINUTE)
    await runOperation(poll)
    writeLogout('late', 2 * MINUTE)
    await runOperation(poll)
    await expect(readUsers()).resolves.toEqual(['a'])
    await runOperation(reconcile)
    await expect(readUsers()).resolves.toEqual(['a', 'late'])
    // The two rows are the row of the user and the row of the session.
    await expect(countReconciledRows()).resolves.toBe(2)
    await runOperation(reconcile)
    await expect(countReconciledRows()).resolves.toBe(2)
  })

  test('reconcile counts no row as reconciled if a poll has read all entries', async () => {
    const userCount = 30
    for (let n = 0; n < userCount; n++) writeLogout(`${n}`, n * MINUTE)
    await runOperation(poll)
    await runOperation(reconcile)
    clock.pass(MINUTE)
    writeLogout('next')
    clock.pass(SECOND)
    await runOperation(reconcile)
    await expect(countReconciledRows()).resolves.toBe(0)
    await expect(readUsers()).resolves.toHaveLength(userCount + 1)
  })

  test('the first reconcile searches back to the first poll, even if that is longer ago than RECONCILE_WINDOW', async () => {
    writeLogout('a', SECOND)
    await runOperation(poll)
    writeLogout('late', 10 * MINUTE)
    clock.pass(HOUR)
    writeLogout('polled')
    clock.pass(SECOND)
    await runOperation(poll)
    await runOperation(reconcile)
    await expect(readUsers()).resolves.toEqual(['a', 'late', 'polled'])
  })

  test('reconcile searches the time since the last reconcile, and RECONCILE_WINDOW (15 minutes) before it', async () => {
    writeLogout('a', SECOND)
    await runOperation(reconcile)
    // This logout is stored before the searched time, so it stays missing.
    writeLogout('too late', 20 * MINUTE)
    await runOperation(reconcile)
    await expect(readUsers()).resolves.toEqual(['a'])

    // For two hours, the worker polls without reconciling.
    for (let hours = 0; hours < 2; hours++) {
      clock.pass(HOUR)
      writeLogout(`polled ${hours}`)
      clock.pass(SECOND)
      await runOperation(poll)
    }
    writeLogout('late', 100 * MINUTE)
    await runOperation(reconcile)
    await expect(readUsers()).resolves.toEqual(['a', 'late', 'polled 0', 'polled 1'])
    await expect(countReconciledRows()).resolves.toBe(2)
  })

  test.each([
    { isStreamed: false, when: 'although the log has later entries' },
    { isStreamed: true, when: 'even if a log stream has delivered the later logouts' },
  ])(
    'reconcile replaces a checkpoint if Auth0 returns an empty page for it, $when',
    async ({ isStreamed }) => {
      writeLogout('friday', SECOND)
      await runOperation(reconcile)
      const { checkpoint: expiredCheckpoint } = await store.readProgress()
      // Auth0 does not document its response to a checkpoint whose entry it has deleted. Here, the page is empty.
      const source: LogSource = {
        ...auth0.source,
        readPage: async (from, signal) => {
          const page = await auth0.source.readPage(from, signal)
          return from === expiredCheckpoint ? { ...page, entries: [], next: from } : page
        },
      }
      // Only a checkpoint that is older than a day, the shortest retention of Auth0's plans, is replaced.
      clock.pass(2 * DAY)
      await runOperation(reconcile, { source })
      const { entry } = writeLogout('monday')
      if (isStreamed) await store.storeBatch(toBatch([readEntries([entry], LOGOUT_TYPES)]))
      clock.pass(5 * MINUTE)
      const findings = await runOperation(reconcile, { source })
      await expect(readUsers()).resolves.toEqual(['friday', 'monday'])
      expect(findings.map(({ kind }) => kind)).toEqual(['checkpoint_replaced'])
      writeLogout('next')
      clock.pass(SECOND)
      await runOperation(poll, { source })
      await expect(readUsers()).resolves.toContain('next')
    },
  )

  test('without new entries, reconcile keeps the checkpoint, does not move as_of back, and records up to when it searched', async () => {
    writeLogout('a', SECOND)
    await runOperation(poll)
    const progressBefore = await store.readProgress()
    // `as_of` is Auth0's time at the end of a request, minus the duration of the request. Without this second, a
    // request of the reconcile that is slower than that of the poll would result in an earlier `as_of`.
    clock.pass(SECOND)
    await runOperation(reconcile)
    const { checkpoint, asOf, reconciledTo } = await store.readProgress()
    expect(checkpoint).toBe(progressBefore.checkpoint)
    expect(reconciledTo).toBeGreaterThanOrEqual(progressBefore.asOf ?? Number.NaN)
    // The reconcile has searched up to the `as_of` of that time. Its last step, a catch-up, has moved `as_of` further.
    expect(asOf).toBeGreaterThanOrEqual(reconciledTo ?? Number.NaN)
  })

  test('reconcile reads new entries between its search requests', async () => {
    for (let n = 0; n < 500; n++) writeLogout(`${n}`, 10 * MINUTE + n)
    writeLogout('newest', SECOND)
    await runOperation(poll)
    /** For each search request, whether the new logout was stored before the request. */
    const storedBeforeRequest: boolean[] = []
    const source: LogSource = {
      ...auth0.source,
      search: async (search, signal) => {
        if (search.page === 0) writeLogout('meanwhile')
        storedBeforeRequest.push((await readUsers()).includes('meanwhile'))
        return auth0.source.search(search, signal)
      },
    }
    await runOperation(reconcile, { source }, EAGER_CATCH_UP)
    // A catch-up between the first two search requests reads the new entry.
    expect(storedBeforeRequest.slice(0, 2)).toEqual([false, true])
    // The search continues: the 501 older entries need at least six pages.
    expect(storedBeforeRequest.length).toBeGreaterThan(5)
  })
})

describe('after an outage of the worker', () => {
  /** Polls, then adds a log with this number of entries of the next ten hours. Returns these entries. */
  const simulateOutage = async (entries: number) => {
    await runOperation(poll)
    const startMs = clock.now()
    clock.pass(10 * HOUR)
    const endMs = clock.now() - SECOND
    const log = generateHistory({ entries, startMs, endMs, logoutShare: 0.1, users: 300 })
    auth0.tenant.writeStored(log)
    return log
  }

  test('poll searches for the logouts of the outage before it reads the pages of the outage', async () => {
    const log = await simulateOutage(3_000)
    const requests: ('page' | 'search')[] = []
    const source: LogSource = {
      ...auth0.source,
      readPage: (from, signal) => {
        requests.push('page')
        return auth0.source.readPage(from, signal)
      },
      search: (search, signal) => {
        requests.push('search')
        return auth0.source.search(search, signal)
      },
    }
    const findings = await runOperation(poll, { source })
    expect(findings.map(({ kind }) => kind)).toEqual(['outage'])
    const lastSearch = requests.lastIndexOf('search')
    const countPages = (kinds: string[]) => kinds.filter((kind) => kind === 'page').length
    // The age of the entries on this one page shows that there was an outage.
    expect(countPages(requests.slice(0, lastSearch))).toBe(1)
    // The 3,000 entries of the outage are on 30 pages.
    expect(countPages(requests.slice(lastSearch))).toBeGreaterThan(20)
    expect(await readRows(database)).toEqual(expectedFromLog(log).rows)
    // The search of an outage counts no rows as reconciled, because its entries are not late: the catch-up reads them
    // too.
    await expect(countReconciledRows()).resolves.toBe(0)
  })

  test('the search after an outage also finds late entries from before the outage', async () => {
    writeLogout('a', SECOND)
    await runOperation(poll)
    for (let hours = 0; hours < 2; hours++) {
      clock.pass(HOUR)
      writeLogout(`polled ${hours}`)
      clock.pass(SECOND)
      await runOperation(poll)
    }
    writeLogout('late', 100 * MINUTE)
    // The outage lasts 20 minutes. Its entries need two pages.
    clock.pass(20 * MINUTE)
    for (let n = 0; n < 120; n++) writeLogout('in the outage', 18 * MINUTE - n)
    await runOperation(poll)
    await runOperation(reconcile)
    await expect(readUsers()).resolves.toContain('late')
  })

  test('poll reads the pages of the outage even if the search fails', async () => {
    const log = await simulateOutage(1_000)
    auth0.simulator.faults.push({
      when: (url) => url.searchParams.has('q'),
      times: Infinity,
      respond: faults.respondWith(400, {}),
    })
    const findings = await runOperation(poll)
    expect(findings).toMatchObject([
      { kind: 'outage' },
      { kind: 'search_failed', error: { code: 'AUTH0_REFUSED' } },
    ])
    expect(await readRows(database)).toEqual(expectedFromLog(log).rows)
  })

  test('poll does not move as_of while it searches for the logouts of an outage', async () => {
    await simulateOutage(1_000)
    const { asOf } = await store.readProgress()
    const valuesOfAsOf = new Set<number | null>()
    const source: LogSource = {
      ...auth0.source,
      search: async (search, signal) => {
        valuesOfAsOf.add((await store.readProgress()).asOf)
        return auth0.source.search(search, signal)
      },
    }
    await runOperation(poll, { source })
    expect(valuesOfAsOf).toEqual(new Set([asOf]))
    expect((await store.readProgress()).asOf).toBeGreaterThan(clock.now() - 5 * SECOND)
  })

  test('poll does not search if the missed entries fit into one page, or the outage was shorter than RECONCILE_WINDOW', async () => {
    await runOperation(poll)
    // After this long outage, the missed entry fits into one page.
    clock.pass(10 * HOUR)
    writeLogout('a')
    clock.pass(SECOND)
    auth0.simulator.requests.clear()
    await expect(runOperation(poll)).resolves.toEqual([])
    // This outage is shorter than RECONCILE_WINDOW, which is 15 minutes.
    clock.pass(10 * MINUTE)
    for (let n = 0; n < 250; n++) writeLogout(`${n}`, n)
    clock.pass(SECOND)
    await expect(runOperation(poll)).resolves.toEqual([])
    expect(countRequests('q')).toBe(0)
    await expect(readUsers()).resolves.toHaveLength(251)
  })

  test('while a poll catches up after an outage, it stores a new logout before it has read all pages of the outage', async () => {
    await simulateOutage(3_000)
    let requestedPages = 0
    const source: LogSource = {
      ...auth0.source,
      readPage: (from, signal) => {
        requestedPages++
        if (requestedPages === 5) writeLogout('meanwhile')
        // As with a rate limit that delays each page by four seconds.
        clock.pass(4 * SECOND)
        return auth0.source.readPage(from, signal)
      },
    }
    let storedPages = 0
    const onProgress = ({ stage }: SyncProgress) => {
      if (stage === 'catch-up') storedPages++
    }
    let storedPagesAtLogout: number | undefined
    const observedStore: LastLogoutStore = {
      ...store,
      // A search calls `storeBatch`. A catch-up calls `storePage`.
      storeBatch: async (batch) => {
        const changedRows = await store.storeBatch(batch)
        if ((await readUsers()).includes('meanwhile')) storedPagesAtLogout ??= storedPages
        return changedRows
      },
    }
    await runOperation(poll, { source, store: observedStore, onProgress })
    // The catch-up reads 30 pages in two minutes. Meanwhile, a search for new logouts runs every 15 seconds, so it runs
    // at most four pages after the logout on page 5. The rest of the bound is a margin for pages that are read ahead.
    expect(storedPagesAtLogout).toBeLessThan(12)
    expect(storedPages).toBeGreaterThan(28)
  })
})

describe('an outage during a poll', () => {
  /**
   * Simulates that the machine is suspended for two days. Meanwhile, Auth0 stores a logout and deletes it after a day.
   * Returns the storage time of the entry with which the log then begins.
   */
  const simulateSuspension = (): number => {
    clock.pass(HOUR)
    writeLogout('lost')
    clock.pass(2 * DAY)
    const { storedAtMs } = writeLogout('kept')
    clock.pass(SECOND)
    return storedAtMs
  }
  beforeEach(async () => {
    await auth0.close()
    auth0 = await openTenant({ now: clock.now, retentionMs: DAY }, LONG_LIVED_TOKENS)
    for (let n = 0; n < 150; n++) writeLogout(`${n}`, MINUTE)
    writeLogout('long before', 20 * HOUR)
  })

  test('poll records a gap up to the first retained entry if the outage occurs during a sweep', async () => {
    let firstRetainedAt: number | undefined
    const search: LogSource['search'] = (...args) => {
      firstRetainedAt ??= simulateSuspension()
      return auth0.source.search(...args)
    }
    await runOperation(poll, { source: { ...auth0.source, search } }, EAGER_CATCH_UP)
    await expect(readUsers()).resolves.not.toContain('lost')
    const gaps = await store.readGaps()
    expect(gaps.map(({ to }) => to)).toContain(firstRetainedAt)
  })

  test('poll records a gap up to the first retained entry if the outage occurs during a catch-up', async () => {
    await runOperation(poll)
    clock.pass(SECOND)
    for (let n = 0; n < 150; n++) writeLogout(`next ${n}`)
    clock.pass(SECOND)
    const { checkpoint } = await store.readProgress()
    let firstRetainedAt: number | undefined
    const readPage: LogSource['readPage'] = (from, signal) => {
      // The condition is true for the request for the second page.
      if (from !== checkpoint) firstRetainedAt ??= simulateSuspension()
      return auth0.source.readPage(from, signal)
    }
    await runOperation(poll, { source: { ...auth0.source, readPage } })
    await expect(readUsers()).resolves.not.toContain('lost')
    const gaps = await store.readGaps()
    expect(gaps.map(({ to }) => to)).toContain(firstRetainedAt)
  })
})

describe('a log to which entries are added before each page request', () => {
  // A page with fewer than 100 entries can end a catch-up. If every page is full, a catch-up can end only after 60
  // seconds. `as_of` is then older.
  test.each([
    { newEntries: 1, maxLagSeconds: 10 },
    { newEntries: 100, maxLagSeconds: 70 },
  ])(
    'reconcile completes with $newEntries new entries per page, and as_of is at most $maxLagSeconds s old',
    async ({ newEntries, maxLagSeconds }) => {
      writeLogout('long ago', 2 * HOUR)
      writeLogout('recent', MINUTE)
      const source: LogSource = {
        ...auth0.source,
        readPage: (from, signal) => {
          clock.pass(SECOND)
          for (let n = 0; n < newEntries; n++) auth0.tenant.write(buildEntry('s', { userId: 'u' }))
          return auth0.source.readPage(from, signal)
        },
      }
      await runOperation(reconcile, { source })
      await expect(readUsers()).resolves.toEqual(['long ago', 'recent'])
      const { asOf, reconciledTo } = await store.readProgress()
      expect(asOf).toBeGreaterThan(clock.now() - maxLagSeconds * SECOND)
      expect(reconciledTo).toBeLessThanOrEqual(asOf ?? Number.NaN)
    },
  )

  test('poll ends at the first page that is not full and whose last entry was stored during the catch-up', async () => {
    writeLogout('a', MINUTE)
    await runOperation(poll)
    auth0.simulator.requests.clear()
    const source: LogSource = {
      ...auth0.source,
      readPage: (from, signal) => {
        clock.pass(2 * SECOND)
        auth0.tenant.write(buildEntry('s', { userId: 'u' }))
        return auth0.source.readPage(from, signal)
      },
    }
    await runOperation(poll, { source })
    // An empty page would also end the poll, but no page is empty: an entry is stored before each request.
    expect(countRequests('from')).toBe(1)
  })
})
