import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { LastLogoutStore, LogSource } from '../../src/ports.js'
import { buildEntry } from '../../src/simulator/entries.js'
import * as faults from '../../src/simulator/faults.js'
import { generateHistory } from '../../src/simulator/history.js'
import type { Finding } from '../../src/sync/catch-up.js'
import { type PollOptions, poll, reconcile } from '../../src/sync/poll.js'
import { type Clock, createClock } from '../_support/clock.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { expectedFromLog } from '../_support/expected-rows.js'
import { DAY, HOUR, MINUTE, POLL_OPTIONS, SECOND, TYPES } from '../_support/poll.js'
import { openTestStore, readRows, readUserIds } from '../_support/store.js'
import { openTenant, type TestTenant } from '../_support/tenant.js'

let clock: Clock
let database: TestDatabase
let store: LastLogoutStore & { close(): Promise<void> }
let t: TestTenant
beforeEach(async () => {
  clock = createClock()
  database = await createTestDatabase()
  store = await openTestStore(database, { now: clock.now })
  t = await openTenant({ now: clock.now }, { expiresInSeconds: 365 * 86_400 })
  // The log is older than every valid token, so there is no gap.
  t.tenant.write(buildEntry('s', { userId: 'u' }), { dateMs: clock.now() - 32 * DAY })
})
afterEach(async () => {
  await Promise.all([t.close(), store.close()])
  await database.drop()
})

const run = async (
  operation: typeof poll,
  overrides: Partial<PollOptions> & { source?: LogSource } = {},
): Promise<Finding[]> => {
  const findings: Finding[] = []
  const onFinding = (finding: Finding) => void findings.push(finding)
  const { source = t.source, ...rest } = overrides
  const deps = { source, store, types: TYPES, onFinding }
  await operation(deps, { ...POLL_OPTIONS, ...rest }, new AbortController().signal)
  return findings
}

/**
 * Adds a logout to the log with a storage time `agoMs` in the past. If a poll has already read past that time, the logout
 * is a late entry.
 */
const logout = (userId: string, agoMs = 0) =>
  t.tenant.write(buildEntry('slo', { userId, sessionId: `${userId}'s` }), {
    dateMs: clock.now() - agoMs,
  })
const readUsers = () => readUserIds(database)
const reconciled = async () => (await store.count()).reconciled
const requests = (kind: 'from' | 'q') =>
  t.simulator.requests.all().filter(({ url }) => url.includes(`?${kind}=`)).length

describe('reconciling', () => {
  test('finds an entry that became visible behind the checkpoint, and counts it', async () => {
    logout('a', MINUTE)
    await run(poll)
    logout('late', 2 * MINUTE)
    await run(poll)
    await expect(readUsers()).resolves.toEqual(['a'])
    await run(reconcile)
    await expect(readUsers()).resolves.toEqual(['a', 'late'])
    // Counts two rows: that of the user and that of the session.
    await expect(reconciled()).resolves.toBe(2)
    await run(reconcile)
    await expect(reconciled()).resolves.toBe(2)
  })

  test('does not count entries that polling has read', async () => {
    for (let n = 0; n < 30; n++) logout(`${n}`, n * MINUTE)
    await run(poll)
    await run(reconcile)
    clock.pass(MINUTE)
    logout('next')
    clock.pass(SECOND)
    await run(reconcile)
    await expect(reconciled()).resolves.toBe(0)
    await expect(readUsers()).resolves.toHaveLength(31)
  })

  test('searches back to the first start if no reconcile has completed yet', async () => {
    logout('a', SECOND)
    await run(poll)
    logout('late', 10 * MINUTE)
    clock.pass(HOUR)
    logout('polled')
    clock.pass(SECOND)
    await run(poll)
    await run(reconcile)
    await expect(readUsers()).resolves.toEqual(['a', 'late', 'polled'])
  })

  test('searches everything since the last reconcile, and the reconcile window before it', async () => {
    logout('a', SECOND)
    await run(reconcile)
    logout('too late', 20 * MINUTE)
    await run(reconcile)
    await expect(readUsers()).resolves.toEqual(['a'])

    // For two hours, the log was polled and not reconciled.
    for (let hours = 0; hours < 2; hours++) {
      clock.pass(HOUR)
      logout(`polled ${hours}`)
      clock.pass(SECOND)
      await run(poll)
    }
    logout('late', 100 * MINUTE)
    await run(reconcile)
    await expect(readUsers()).resolves.toEqual(['a', 'late', 'polled 0', 'polled 1'])
    await expect(reconciled()).resolves.toBe(2)
  })

  test('searches up to as_of, and detects a checkpoint after which Auth0 returns nothing', async () => {
    logout('friday', SECOND)
    await run(reconcile)
    const { checkpoint: forgotten } = await store.readProgress()
    // Auth0 does not document its response to a checkpoint that is no longer retained. Here, the page is empty.
    const source: LogSource = {
      ...t.source,
      readPage: async (from, signal) => {
        const page = await t.source.readPage(from, signal)
        return from === forgotten ? { ...page, entries: [], next: from } : page
      },
    }
    clock.pass(2 * DAY)
    await run(reconcile, { source })
    logout('monday')
    clock.pass(5 * MINUTE)
    const findings = await run(reconcile, { source })
    await expect(readUsers()).resolves.toEqual(['friday', 'monday'])
    expect(findings.map(({ kind }) => kind)).toEqual(['checkpoint_replaced'])
    logout('next')
    clock.pass(SECOND)
    await run(poll, { source })
    await expect(readUsers()).resolves.toContain('next')
  })

  test('does not move the checkpoint, never moves as_of back, and records that it searched up to as_of', async () => {
    logout('a', SECOND)
    await run(poll)
    const before = await store.readProgress()
    // An instant is Auth0's time minus the duration of the request. Without this, a slow request could give an earlier one.
    clock.pass(SECOND)
    await run(reconcile)
    const { checkpoint, asOf, reconciledTo } = await store.readProgress()
    expect(checkpoint).toBe(before.checkpoint)
    expect(asOf).toBeGreaterThanOrEqual(before.asOf ?? Number.NaN)
    expect(reconciledTo).toBe(asOf)
  })

  test('catches up with new entries between its requests', async () => {
    for (let n = 0; n < 500; n++) logout(`${n}`, 10 * MINUTE + n)
    logout('newest', SECOND)
    await run(poll)
    const seen: boolean[] = []
    const source: LogSource = {
      ...t.source,
      search: async (search, signal) => {
        if (search.page === 0) logout('meanwhile')
        seen.push((await readUsers()).includes('meanwhile'))
        return t.source.search(search, signal)
      },
    }
    await run(reconcile, { source, pollIntervalMs: 0 })
    // The sweep of the span takes about six requests. The new entry is read between the first and the second.
    expect(seen.slice(0, 2)).toEqual([false, true])
    expect(seen.length).toBeGreaterThan(5)
  })
})

describe('after an outage of the worker', () => {
  const outage = async (entries: number) => {
    await run(poll)
    const startMs = clock.now()
    clock.pass(10 * HOUR)
    const endMs = clock.now() - SECOND
    const log = generateHistory({ entries, startMs, endMs, logoutShare: 0.1, users: 300 })
    t.tenant.writeStored(log)
    return log
  }

  test('poll searches for logouts, newest first, before it reads the pages of the outage', async () => {
    const log = await outage(3_000)
    const order: string[] = []
    const source: LogSource = {
      ...t.source,
      readPage: (from, signal) => {
        order.push('page')
        return t.source.readPage(from, signal)
      },
      search: (search, signal) => {
        order.push('search')
        return t.source.search(search, signal)
      },
    }
    const findings = await run(poll, { source })
    expect(findings.map(({ kind }) => kind)).toEqual(['outage'])
    // The first request is for the page that shows how far behind the catch-up is.
    const lastSearch = order.lastIndexOf('search')
    expect(order.slice(0, lastSearch).filter((kind) => kind === 'page')).toHaveLength(1)
    expect(order.slice(lastSearch).filter((kind) => kind === 'page').length).toBeGreaterThan(20)
    expect(await readRows(database)).toEqual(expectedFromLog(log).rows)
    // Entries that the catch-up would have found do not count as missed by polling.
    await expect(reconciled()).resolves.toBe(0)
  })

  test('reconcile still searches the time before the outage', async () => {
    logout('a', SECOND)
    await run(poll)
    for (let hours = 0; hours < 2; hours++) {
      clock.pass(HOUR)
      logout(`polled ${hours}`)
      clock.pass(SECOND)
      await run(poll)
    }
    logout('late', 100 * MINUTE)
    clock.pass(20 * MINUTE)
    for (let n = 0; n < 120; n++) logout('in the outage', 18 * MINUTE - n)
    await run(poll)
    await run(reconcile)
    await expect(readUsers()).resolves.toContain('late')
  })

  test('poll reads page by page even if the search fails', async () => {
    const log = await outage(1_000)
    const isSearch = (url: URL) => url.searchParams.has('q')
    t.simulator.faults.push({
      when: isSearch,
      times: Infinity,
      respond: faults.respondWith(400, {}),
    })
    const findings = await run(poll)
    expect(findings).toMatchObject([
      { kind: 'outage' },
      { kind: 'search_failed', error: { code: 'AUTH0_REFUSED' } },
    ])
    expect(await readRows(database)).toEqual(expectedFromLog(log).rows)
  })

  test('poll does not advance as_of until the pages of the outage are read', async () => {
    await outage(1_000)
    const { asOf } = await store.readProgress()
    const seen: (number | null)[] = []
    const source: LogSource = {
      ...t.source,
      search: async (search, signal) => {
        seen.push((await store.readProgress()).asOf)
        return t.source.search(search, signal)
      },
    }
    await run(poll, { source })
    expect(new Set(seen)).toEqual(new Set([asOf]))
    expect((await store.readProgress()).asOf).toBeGreaterThan(clock.now() - 5 * SECOND)
  })

  test('poll does not search if the missed entries fit into one page, or the outage is shorter than the reconcile window', async () => {
    await run(poll)
    clock.pass(10 * HOUR)
    logout('a')
    clock.pass(SECOND)
    t.simulator.requests.clear()
    await expect(run(poll)).resolves.toEqual([])
    clock.pass(10 * MINUTE)
    for (let n = 0; n < 250; n++) logout(`${n}`, n)
    clock.pass(SECOND)
    await expect(run(poll)).resolves.toEqual([])
    expect(requests('q')).toBe(0)
    await expect(readUsers()).resolves.toHaveLength(251)
  })

  test('poll stores new logouts before all pages of the outage are read', async () => {
    await outage(3_000)
    let pages = 0
    const seenAfter: number[] = []
    const source: LogSource = {
      ...t.source,
      readPage: async (from, signal) => {
        pages++
        if (pages === 5) logout('meanwhile')
        // Simulates a rate limit that delays each page by four seconds.
        clock.pass(4 * SECOND)
        if (pages > 5 && (await readUsers()).includes('meanwhile')) seenAfter.push(pages)
        return t.source.readPage(from, signal)
      },
    }
    await run(poll, { source })
    // The logout is stored after about 15 seconds, while the catch-up takes two minutes.
    expect(seenAfter[0]).toBeLessThan(12)
    expect(pages).toBeGreaterThan(28)
  })
})

describe('an outage during a poll, for example because the machine sleeps', () => {
  /**
   * Lets two days pass. In this time, a logout is stored, and retention deletes it. Returns the storage time of the oldest
   * entry that is left.
   */
  const sleep = (): number => {
    clock.pass(HOUR)
    logout('lost')
    clock.pass(2 * DAY)
    const { storedAtMs } = logout('kept')
    clock.pass(SECOND)
    return storedAtMs
  }
  beforeEach(async () => {
    await t.close()
    t = await openTenant({ now: clock.now, retentionMs: DAY }, { expiresInSeconds: 365 * 86_400 })
    for (let n = 0; n < 150; n++) logout(`${n}`, MINUTE)
    logout('long before', 20 * HOUR)
  })

  test('poll records a gap if the outage occurs during a sweep', async () => {
    let logBeginsAt: number | undefined
    const search: LogSource['search'] = (...args) => {
      logBeginsAt ??= sleep()
      return t.source.search(...args)
    }
    await run(poll, { source: { ...t.source, search }, pollIntervalMs: 0 })
    await expect(readUsers()).resolves.not.toContain('lost')
    const gaps = await store.readGaps()
    expect(gaps.map(({ to }) => to)).toContain(logBeginsAt)
  })

  test('poll records a gap if the outage occurs during a catch-up', async () => {
    await run(poll)
    clock.pass(SECOND)
    for (let n = 0; n < 150; n++) logout(`next ${n}`)
    clock.pass(SECOND)
    const { checkpoint } = await store.readProgress()
    let logBeginsAt: number | undefined
    const readPage: LogSource['readPage'] = (from, signal) => {
      if (from !== checkpoint) logBeginsAt ??= sleep()
      return t.source.readPage(from, signal)
    }
    await run(poll, { source: { ...t.source, readPage } })
    await expect(readUsers()).resolves.not.toContain('lost')
    const gaps = await store.readGaps()
    expect(gaps.map(({ to }) => to)).toContain(logBeginsAt)
  })
})

describe('with new entries before each page request', () => {
  test.each([
    ['a page is not full', 1, 10 * SECOND],
    ['every page is full (the lag stays below 70 seconds)', 100, 70 * SECOND],
  ])('reconcile completes the catch-up and the sweep if %s', async (_what, count, maxLagMs) => {
    logout('long ago', 2 * HOUR)
    logout('recent', MINUTE)
    const source: LogSource = {
      ...t.source,
      readPage: (from, signal) => {
        clock.pass(SECOND)
        for (let n = 0; n < count; n++) t.tenant.write(buildEntry('s', { userId: 'u' }))
        return t.source.readPage(from, signal)
      },
    }
    await run(reconcile, { source })
    await expect(readUsers()).resolves.toEqual(['long ago', 'recent'])
    const { asOf, reconciledTo } = await store.readProgress()
    expect(asOf).toBeGreaterThan(clock.now() - maxLagMs)
    expect(reconciledTo).toBe(asOf)
  })

  test('poll stops at the first page with an entry stored after the catch-up began', async () => {
    logout('a', MINUTE)
    await run(poll)
    t.simulator.requests.clear()
    const source: LogSource = {
      ...t.source,
      readPage: (from, signal) => {
        clock.pass(2 * SECOND)
        t.tenant.write(buildEntry('s', { userId: 'u' }))
        return t.source.readPage(from, signal)
      },
    }
    await run(poll, { source })
    // The catch-up begins with the request for the first page. The second page contains an entry stored after that, so no
    // third page is requested.
    expect(requests('from')).toBe(2)
  })
})
