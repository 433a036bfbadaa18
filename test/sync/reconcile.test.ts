import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { SyncProgress } from '../../src/measurements.js'
import type { LastLogoutStore, LogSource } from '../../src/ports.js'
import { buildEntry } from '../../src/simulator/entries.js'
import * as faults from '../../src/simulator/faults.js'
import { generateHistory } from '../../src/simulator/history.js'
import type { Finding, SyncDeps } from '../../src/sync/catch-up.js'
import { type PollOptions, poll, reconcile } from '../../src/sync/poll.js'
import { type Clock, createClock } from '../_support/clock.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { expectedFromLog } from '../_support/expected-rows.js'
import { DAY, HOUR, LOGOUT_TYPES, MINUTE, POLL_OPTIONS, SECOND } from '../_support/poll.js'
import { openTestStore, readRows, readUserIds } from '../_support/store.js'
import { openTenant, type TestTenant } from '../_support/tenant.js'

let clock: Clock
let database: TestDatabase
let store: LastLogoutStore & { close(): Promise<void> }
let auth0: TestTenant
beforeEach(async () => {
  clock = createClock()
  database = await createTestDatabase()
  store = await openTestStore(database, { now: clock.now })
  auth0 = await openTenant({ now: clock.now }, { expiresInSeconds: 365 * 86_400 })
  // The log is older than every valid token, so there is no gap.
  auth0.tenant.write(buildEntry('s', { userId: 'u' }), { dateMs: clock.now() - 32 * DAY })
})
afterEach(async () => {
  await Promise.all([auth0.close(), store.close()])
  await database.drop()
})

/** Runs a poll or a reconcile. Returns its findings. */
const runOperation = async (
  operation: typeof poll,
  overrides: Partial<PollOptions> & Partial<Pick<SyncDeps, 'source' | 'store' | 'onProgress'>> = {},
): Promise<Finding[]> => {
  const findings: Finding[] = []
  const onFinding = (finding: Finding) => void findings.push(finding)
  const {
    source = auth0.source,
    store: pollStore = store,
    onProgress = () => {},
    ...options
  } = overrides
  const deps = { source, store: pollStore, types: LOGOUT_TYPES, onFinding, onProgress }
  await operation(deps, { ...POLL_OPTIONS, ...options }, new AbortController().signal)
  return findings
}

/**
 * Adds a logout that was stored `agoMs` ago. The logout is a late entry if a poll has read the log after this time.
 */
const writeLogout = (userId: string, agoMs = 0) =>
  auth0.tenant.write(buildEntry('slo', { userId, sessionId: `${userId}'s` }), {
    dateMs: clock.now() - agoMs,
  })
const readUsers = () => readUserIds(database)
const readReconciledRows = async () => (await store.count()).reconciled
const countRequests = (kind: 'from' | 'q') =>
  auth0.simulator.requests.all().filter(({ url }) => url.includes(`?${kind}=`)).length

describe('reconciling', () => {
  test('reconcile finds a late entry, and counts the changed rows', async () => {
    writeLogout('a', MINUTE)
    await runOperation(poll)
    writeLogout('late', 2 * MINUTE)
    await runOperation(poll)
    await expect(readUsers()).resolves.toEqual(['a'])
    await runOperation(reconcile)
    await expect(readUsers()).resolves.toEqual(['a', 'late'])
    // The two rows are the row of the user and the row of the session.
    await expect(readReconciledRows()).resolves.toBe(2)
    await runOperation(reconcile)
    await expect(readReconciledRows()).resolves.toBe(2)
  })

  test('reconcile does not count entries that a poll has read', async () => {
    for (let n = 0; n < 30; n++) writeLogout(`${n}`, n * MINUTE)
    await runOperation(poll)
    await runOperation(reconcile)
    clock.pass(MINUTE)
    writeLogout('next')
    clock.pass(SECOND)
    await runOperation(reconcile)
    await expect(readReconciledRows()).resolves.toBe(0)
    await expect(readUsers()).resolves.toHaveLength(31)
  })

  test('reconcile searches back to the first start if no reconcile has completed yet', async () => {
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

  test('reconcile searches the time since the last reconcile, and the RECONCILE_WINDOW before the last reconcile', async () => {
    writeLogout('a', SECOND)
    await runOperation(reconcile)
    writeLogout('too late', 20 * MINUTE)
    await runOperation(reconcile)
    await expect(readUsers()).resolves.toEqual(['a'])

    // For two hours, the log was polled and not reconciled.
    for (let hours = 0; hours < 2; hours++) {
      clock.pass(HOUR)
      writeLogout(`polled ${hours}`)
      clock.pass(SECOND)
      await runOperation(poll)
    }
    writeLogout('late', 100 * MINUTE)
    await runOperation(reconcile)
    await expect(readUsers()).resolves.toEqual(['a', 'late', 'polled 0', 'polled 1'])
    await expect(readReconciledRows()).resolves.toBe(2)
  })

  test('reconcile replaces a checkpoint after which Auth0 returns no entry, although the log has later entries', async () => {
    writeLogout('friday', SECOND)
    await runOperation(reconcile)
    const { checkpoint: expiredCheckpoint } = await store.readProgress()
    // Auth0 does not document its response to a checkpoint that is no longer retained. Here, the page is empty.
    const source: LogSource = {
      ...auth0.source,
      readPage: async (from, signal) => {
        const page = await auth0.source.readPage(from, signal)
        return from === expiredCheckpoint ? { ...page, entries: [], next: from } : page
      },
    }
    clock.pass(2 * DAY)
    await runOperation(reconcile, { source })
    writeLogout('monday')
    clock.pass(5 * MINUTE)
    const findings = await runOperation(reconcile, { source })
    await expect(readUsers()).resolves.toEqual(['friday', 'monday'])
    expect(findings.map(({ kind }) => kind)).toEqual(['checkpoint_replaced'])
    writeLogout('next')
    clock.pass(SECOND)
    await runOperation(poll, { source })
    await expect(readUsers()).resolves.toContain('next')
  })

  test('reconcile does not move the checkpoint, never moves as_of back, and records that it searched up to as_of', async () => {
    writeLogout('a', SECOND)
    await runOperation(poll)
    const progressBefore = await store.readProgress()
    // `as_of` is Auth0's time minus the duration of the request. If the clock did not move, `as_of` of a slow request
    // could be earlier than `as_of` of the poll.
    clock.pass(SECOND)
    await runOperation(reconcile)
    const { checkpoint, asOf, reconciledTo } = await store.readProgress()
    expect(checkpoint).toBe(progressBefore.checkpoint)
    expect(reconciledTo).toBeGreaterThanOrEqual(progressBefore.asOf ?? Number.NaN)
    // After the search, the reconcile has caught up once more.
    expect(asOf).toBeGreaterThanOrEqual(reconciledTo ?? Number.NaN)
  })

  test('reconcile reads new entries between its search requests', async () => {
    for (let n = 0; n < 500; n++) writeLogout(`${n}`, 10 * MINUTE + n)
    writeLogout('newest', SECOND)
    await runOperation(poll)
    const observed: boolean[] = []
    const source: LogSource = {
      ...auth0.source,
      search: async (search, signal) => {
        if (search.page === 0) writeLogout('meanwhile')
        observed.push((await readUsers()).includes('meanwhile'))
        return auth0.source.search(search, signal)
      },
    }
    await runOperation(reconcile, { source, pollIntervalMs: 0 })
    // The sweep sends about six requests. A catch-up between the first two reads the new entry.
    expect(observed.slice(0, 2)).toEqual([false, true])
    expect(observed.length).toBeGreaterThan(5)
  })
})

describe('after an outage of the worker', () => {
  const simulateOutage = async (entries: number) => {
    await runOperation(poll)
    const startMs = clock.now()
    clock.pass(10 * HOUR)
    const endMs = clock.now() - SECOND
    const log = generateHistory({ entries, startMs, endMs, logoutShare: 0.1, users: 300 })
    auth0.tenant.writeStored(log)
    return log
  }

  test('poll searches for logouts, newest first, before it reads the pages of the outage', async () => {
    const log = await simulateOutage(3_000)
    const order: string[] = []
    const source: LogSource = {
      ...auth0.source,
      readPage: (from, signal) => {
        order.push('page')
        return auth0.source.readPage(from, signal)
      },
      search: (search, signal) => {
        order.push('search')
        return auth0.source.search(search, signal)
      },
    }
    const findings = await runOperation(poll, { source })
    expect(findings.map(({ kind }) => kind)).toEqual(['outage'])
    // Before the search, poll requests one page to learn the age of the first entry.
    const lastSearch = order.lastIndexOf('search')
    expect(order.slice(0, lastSearch).filter((kind) => kind === 'page')).toHaveLength(1)
    expect(order.slice(lastSearch).filter((kind) => kind === 'page').length).toBeGreaterThan(20)
    expect(await readRows(database)).toEqual(expectedFromLog(log).rows)
    // The rows of this search do not count as reconciled, because the catch-up would have read their entries.
    await expect(readReconciledRows()).resolves.toBe(0)
  })

  test('reconcile still searches the time before the outage', async () => {
    writeLogout('a', SECOND)
    await runOperation(poll)
    for (let hours = 0; hours < 2; hours++) {
      clock.pass(HOUR)
      writeLogout(`polled ${hours}`)
      clock.pass(SECOND)
      await runOperation(poll)
    }
    writeLogout('late', 100 * MINUTE)
    clock.pass(20 * MINUTE)
    for (let n = 0; n < 120; n++) writeLogout('in the outage', 18 * MINUTE - n)
    await runOperation(poll)
    await runOperation(reconcile)
    await expect(readUsers()).resolves.toContain('late')
  })

  test('poll reads the pages of the outage even if the search fails', async () => {
    const log = await simulateOutage(1_000)
    const isSearch = (url: URL) => url.searchParams.has('q')
    auth0.simulator.faults.push({
      when: isSearch,
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

  test('poll does not advance as_of until the pages of the outage are read', async () => {
    await simulateOutage(1_000)
    const { asOf } = await store.readProgress()
    const observed: (number | null)[] = []
    const source: LogSource = {
      ...auth0.source,
      search: async (search, signal) => {
        observed.push((await store.readProgress()).asOf)
        return auth0.source.search(search, signal)
      },
    }
    await runOperation(poll, { source })
    expect(new Set(observed)).toEqual(new Set([asOf]))
    expect((await store.readProgress()).asOf).toBeGreaterThan(clock.now() - 5 * SECOND)
  })

  test('poll does not search if the missed entries fit into one page, or the outage is shorter than RECONCILE_WINDOW', async () => {
    await runOperation(poll)
    clock.pass(10 * HOUR)
    writeLogout('a')
    clock.pass(SECOND)
    auth0.simulator.requests.clear()
    await expect(runOperation(poll)).resolves.toEqual([])
    clock.pass(10 * MINUTE)
    for (let n = 0; n < 250; n++) writeLogout(`${n}`, n)
    clock.pass(SECOND)
    await expect(runOperation(poll)).resolves.toEqual([])
    expect(countRequests('q')).toBe(0)
    await expect(readUsers()).resolves.toHaveLength(251)
  })

  test('poll stores new logouts before all pages of the outage are read', async () => {
    await simulateOutage(3_000)
    let requestedPages = 0
    const source: LogSource = {
      ...auth0.source,
      readPage: (from, signal) => {
        requestedPages++
        if (requestedPages === 5) writeLogout('meanwhile')
        // Simulates a rate limit that delays each page by four seconds.
        clock.pass(4 * SECOND)
        return auth0.source.readPage(from, signal)
      },
    }
    let storedPages = 0
    const onProgress = ({ stage }: SyncProgress) => {
      if (stage === 'catch-up') storedPages++
    }
    let storedPagesBefore: number | undefined
    const searchStore: LastLogoutStore = {
      ...store,
      // Only the search stores batches. The catch-up stores pages.
      storeBatch: async (batch) => {
        const changedRows = await store.storeBatch(batch)
        if ((await readUsers()).includes('meanwhile')) storedPagesBefore ??= storedPages
        return changedRows
      },
    }
    await runOperation(poll, { source, store: searchStore, onProgress })
    // The logout is stored after about 15 seconds, while the catch-up takes two minutes.
    expect(storedPagesBefore).toBeLessThan(12)
    expect(storedPages).toBeGreaterThan(28)
  })
})

describe('an outage during a poll', () => {
  /**
   * Simulates that the machine is suspended for two days. Meanwhile, Auth0 stores and deletes a logout. Returns the
   * storage time of the oldest entry in the log afterwards.
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
    auth0 = await openTenant(
      { now: clock.now, retentionMs: DAY },
      { expiresInSeconds: 365 * 86_400 },
    )
    for (let n = 0; n < 150; n++) writeLogout(`${n}`, MINUTE)
    writeLogout('long before', 20 * HOUR)
  })

  test('poll records a gap if the outage occurs during a sweep', async () => {
    let logBeginsAt: number | undefined
    const search: LogSource['search'] = (...args) => {
      logBeginsAt ??= simulateSuspension()
      return auth0.source.search(...args)
    }
    await runOperation(poll, { source: { ...auth0.source, search }, pollIntervalMs: 0 })
    await expect(readUsers()).resolves.not.toContain('lost')
    const gaps = await store.readGaps()
    expect(gaps.map(({ to }) => to)).toContain(logBeginsAt)
  })

  test('poll records a gap if the outage occurs during a catch-up', async () => {
    await runOperation(poll)
    clock.pass(SECOND)
    for (let n = 0; n < 150; n++) writeLogout(`next ${n}`)
    clock.pass(SECOND)
    const { checkpoint } = await store.readProgress()
    let logBeginsAt: number | undefined
    const readPage: LogSource['readPage'] = (from, signal) => {
      if (from !== checkpoint) logBeginsAt ??= simulateSuspension()
      return auth0.source.readPage(from, signal)
    }
    await runOperation(poll, { source: { ...auth0.source, readPage } })
    await expect(readUsers()).resolves.not.toContain('lost')
    const gaps = await store.readGaps()
    expect(gaps.map(({ to }) => to)).toContain(logBeginsAt)
  })
})

describe('a log with new entries before each page request', () => {
  test.each([
    ['a page is not full', 1, 10 * SECOND],
    ['every page is full, and then the lag is at most 70 seconds', 100, 70 * SECOND],
  ])('reconcile completes the catch-up and the sweep if %s', async (_what, count, maxLagMs) => {
    writeLogout('long ago', 2 * HOUR)
    writeLogout('recent', MINUTE)
    const source: LogSource = {
      ...auth0.source,
      readPage: (from, signal) => {
        clock.pass(SECOND)
        for (let n = 0; n < count; n++) auth0.tenant.write(buildEntry('s', { userId: 'u' }))
        return auth0.source.readPage(from, signal)
      },
    }
    await runOperation(reconcile, { source })
    await expect(readUsers()).resolves.toEqual(['long ago', 'recent'])
    const { asOf, reconciledTo } = await store.readProgress()
    expect(asOf).toBeGreaterThan(clock.now() - maxLagMs)
    expect(reconciledTo).toBeLessThanOrEqual(asOf ?? Number.NaN)
  })

  test('poll ends at the first short page whose last entry was stored during the catch-up', async () => {
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
    // No page is ever empty, because an entry is stored before each request.
    expect(countRequests('from')).toBe(1)
  })
})
