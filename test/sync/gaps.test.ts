import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { LastLogoutStore, LogSource } from '../../src/ports.js'
import type { Gap } from '../../src/rules/gap.js'
import { buildEntry } from '../../src/simulator/entries.js'
import * as faults from '../../src/simulator/faults.js'
import type { SimulatorOptions } from '../../src/simulator/server.js'
import type { SimulatedTenantOptions } from '../../src/simulator/tenant.js'
import type { Finding } from '../../src/sync/catch-up.js'
import { type PollOptions, poll } from '../../src/sync/poll.js'
import { type Clock, createClock } from '../_support/clock.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { DAY, HOUR, LOGOUT_TYPES, MINUTE, POLL_OPTIONS, SECOND } from '../_support/poll.js'
import { openTestStore, readUserIds } from '../_support/store.js'
import { openTenant, QUICK_RETRIES, type TestTenant } from '../_support/tenant.js'

// A gap is a span of storage time whose entries Auth0 deleted before they were read. Polls detect gaps: a poll reads
// the log from the checkpoint (the log id after which the next page begins) to its end. `as_of` is the instant up to
// which the log is known to have been read. An outage is a time without polls.
// The numbers of pitfalls are those of docs/pitfalls.md.

const LOGS_PATH = '/api/v2/logs'

/** The clock of Auth0 and of the database. It moves only when a test moves it. */
let clock: Clock
let database: TestDatabase
let store: LastLogoutStore & { close(): Promise<void> }
let auth0: TestTenant
beforeEach(async () => {
  clock = createClock()
  database = await createTestDatabase()
  store = await openTestStore(database, { now: clock.now })
})
afterEach(async () => {
  await Promise.all([auth0.close(), store.close()])
  await database.drop()
})

/**
 * Opens a tenant that retains entries for a day by default. Its tokens outlive the days that pass in a test.
 *
 * `simulatorOptions.expiredCheckpoint` determines how Auth0 responds to a checkpoint whose entry it has deleted: with
 * this HTTP status, or with the oldest retained entries (`continue`, the default).
 */
async function openTestTenant(
  tenantOptions: Partial<SimulatedTenantOptions> = {},
  simulatorOptions: Partial<SimulatorOptions> = {},
) {
  const expiresInSeconds = (365 * DAY) / SECOND
  auth0 = await openTenant(
    { now: clock.now, retentionMs: DAY, ...tenantOptions },
    { expiresInSeconds, ...simulatorOptions },
  )
}

/** Polls once. Returns the findings of the poll: the conditions that it reports to operators. */
async function runPoll(options: Partial<PollOptions> & { source?: LogSource } = {}) {
  const findings: Finding[] = []
  const onFinding = (finding: Finding) => {
    findings.push(finding)
  }
  const { source = auth0.source, ...overrides } = options
  const deps = { source, store, types: LOGOUT_TYPES, onFinding }
  await poll(deps, { ...POLL_OPTIONS, ...overrides }, new AbortController().signal)
  return findings
}

/** Writes a logout to the log. Its storage time is its date. */
const logOut = (userId: string, dateMs = clock.now()) =>
  auth0.tenant.write(buildEntry('slo', { userId, sessionId: `session of ${userId}` }), { dateMs })
/** Writes a login to the log. It is an entry that is not a logout. */
const logIn = (dateMs = clock.now()) =>
  auth0.tenant.write(buildEntry('s', { userId: 'u' }), { dateMs })
/** Writes an entry of a changed password 20 days ago, which Auth0 stored only `storedAgoMs` ago. */
const writeLateEntry = (storedAgoMs: number) =>
  auth0.tenant.write(buildEntry('scp', { userId: 'u' }), {
    dateMs: clock.now() - 20 * DAY,
    storedAtMs: clock.now() - storedAgoMs,
  })

const isOldestRequest = (url: URL) => url.searchParams.get('sort') === 'date:1'
const isOldest = ({ url }: { url: string }) => url.includes('sort=date%3A1')
const isSearch = (url: URL) => url.searchParams.has('q')
const isPageRequest = (url: URL) => url.searchParams.has('from')
/** Whether a request reads a page from a synthetic checkpoint: a log id that consists of a time and zeros. */
const isSyntheticPageRequest = (url: URL) => /0{39}$/.test(url.searchParams.get('from') ?? '')

/** Creates a log source whose searches take `searchMs` each. */
const openSlowSource = (searchMs: number): LogSource => ({
  ...auth0.source,
  search: async (search, signal) => {
    clock.pass(searchMs)
    return auth0.source.search(search, signal)
  },
})

/** Makes Auth0 fail the next search, with all its retries. A poll then ends with an error. */
const failNextSearch = () => {
  const attempts = 1 + QUICK_RETRIES.retries
  const respond = faults.html(502)
  auth0.simulator.faults.push({ path: LOGS_PATH, when: isSearch, times: attempts, respond })
}

/** Reads the gaps without the times at which they were detected. */
const readGaps = async () =>
  (await store.readGaps()).map(({ from, to, reason }): Gap => ({ from, to, reason }))
/** Whether no gap concerns a token that can still be valid. */
const isComplete = async () => (await store.readKnownLogouts('u', null)).complete
const readAsOf = async () => (await store.readProgress()).asOf ?? Number.NaN

describe('no gap is recorded', () => {
  test('no gap is recorded while a tenant without new entries is polled for three days and its last entry is deleted', async () => {
    await openTestTenant()
    logIn()
    for (let hours = 0; hours < 72; hours += 12) {
      await runPoll()
      clock.pass(12 * HOUR)
    }
    await runPoll()
    logIn()
    clock.pass(2 * SECOND)
    await expect(runPoll()).resolves.toEqual([])
    await expect(readGaps()).resolves.toEqual([])
    await expect(isComplete()).resolves.toBe(true)
  })

  test.each(['continue', 400, 404] as const)(
    'no gap is recorded if the checkpoint of a tenant without new entries expires and Auth0 responds with %s',
    async (expiredCheckpoint) => {
      await openTestTenant({}, { expiredCheckpoint })
      logIn()
      await runPoll()
      for (let hours = 0; hours < 72; hours += 12) {
        clock.pass(12 * HOUR)
        await runPoll()
      }
      logOut('next')
      clock.pass(5 * SECOND)
      await runPoll()
      expect(await readUserIds(database)).toEqual(['next'])
      await expect(readGaps()).resolves.toEqual([])
      await expect(isComplete()).resolves.toBe(true)
    },
  )

  test('no gap is recorded after an outage that is shorter than the retention of every plan', async () => {
    await openTestTenant()
    logIn(clock.now() - 2 * DAY)
    await runPoll()
    clock.pass(20 * HOUR)
    logOut('first')
    clock.pass(HOUR)
    await runPoll()
    await expect(readGaps()).resolves.toEqual([])
  })

  test('no gap is recorded after an outage of two days if the log still contains older entries', async () => {
    await openTestTenant({ retentionMs: 5 * DAY })
    logIn(clock.now() - HOUR)
    await runPoll()
    clock.pass(DAY)
    logOut('during the outage')
    clock.pass(DAY)
    await runPoll()
    expect(await readUserIds(database)).toEqual(['during the outage'])
    await expect(readGaps()).resolves.toEqual([])
  })

  // Auth0 reports its oldest entry by date, so that entry can have been stored after others.
  test('no gap is recorded if the entry with the oldest date was stored late, and other entries were stored earlier', async () => {
    await openTestTenant({ retentionMs: 5 * DAY })
    logIn()
    await runPoll()
    // This entry is stored a second after the poll.
    logIn(clock.now() + SECOND)
    clock.pass(4 * DAY)
    writeLateEntry(HOUR)
    await runPoll()
    await expect(readGaps()).resolves.toEqual([])
  })

  test.each([400, 404] as const)(
    'no gap is recorded if the entry with the oldest date was stored late, and Auth0 refuses expired checkpoints with %d',
    async (expiredCheckpoint) => {
      await openTestTenant({ retentionMs: 5 * DAY }, { expiredCheckpoint })
      logIn(clock.now() - 4 * DAY)
      logIn(clock.now() - SECOND)
      await runPoll()
      const gapsBefore = await readGaps()
      clock.pass(5 * MINUTE)
      writeLateEntry(MINUTE)
      await expect(runPoll({ onGap: 'floor' })).resolves.toEqual([])
      await expect(readGaps()).resolves.toEqual(gapsBefore)
    },
  )

  test.each([1, 2])(
    'no gap is recorded if the first %d requests for the oldest entry return no entry, although the log is not empty',
    async (times) => {
      await openTestTenant({ retentionMs: 10 * DAY })
      logIn(clock.now() - SECOND)
      await runPoll()
      clock.pass(2 * MINUTE)
      logIn(clock.now() - MINUTE)
      const respond = faults.respondWith(200, [])
      auth0.simulator.faults.push({ when: isOldestRequest, times, respond })
      await expect(runPoll({ onGap: 'floor' })).resolves.toEqual([])
      await expect(readGaps()).resolves.toEqual([])
    },
  )

  test('no gap is recorded in a new tenant while its log is empty, and when it has one entry', async () => {
    await openTestTenant()
    await expect(runPoll()).resolves.toEqual([{ kind: 'new_tenant', oldestAt: null }])
    await expect(isComplete()).resolves.toBe(true)
    clock.pass(HOUR)
    await runPoll()
    logIn()
    clock.pass(2 * SECOND)
    await runPoll()
    await expect(readGaps()).resolves.toEqual([])
    await expect(isComplete()).resolves.toBe(true)
  })

  test('no gap is recorded and no logout is lost if the first entry of a log was stored before the first poll, but became visible afterwards', async () => {
    await openTestTenant()
    await runPoll()
    logOut('late', clock.now() - 5 * SECOND)
    clock.pass(HOUR)
    logIn()
    clock.pass(SECOND)
    await runPoll()
    expect(await readUserIds(database)).toEqual(['late'])
    await expect(readGaps()).resolves.toEqual([])
  })

  test('no gap is recorded if the log begins an hour ago, and the poll reports a new tenant', async () => {
    await openTestTenant()
    const { storedAtMs } = logIn(clock.now() - HOUR)
    await expect(runPoll()).resolves.toEqual([{ kind: 'new_tenant', oldestAt: storedAtMs }])
    await expect(readGaps()).resolves.toEqual([])
  })
})

describe('a gap is recorded', () => {
  test('after an outage longer than the retention, a gap is recorded from the last poll to the oldest retained entry (pitfall 7)', async () => {
    await openTestTenant()
    logIn()
    clock.pass(SECOND)
    await runPoll()
    const asOfBefore = await readAsOf()
    clock.pass(HOUR)
    logOut('lost')
    clock.pass(2 * DAY)
    const { storedAtMs } = logOut('kept')
    clock.pass(MINUTE)
    const gap: Gap = { from: asOfBefore, to: storedAtMs, reason: 'retention' }
    await expect(runPoll()).resolves.toContainEqual({ kind: 'gap', gap, raisesFloor: false })
    await expect(readGaps()).resolves.toEqual([gap])
    expect(await readUserIds(database)).toEqual(['kept'])
    await expect(isComplete()).resolves.toBe(false)
    // The second poll does not report the gap again.
    await expect(runPoll()).resolves.toEqual([])
    expect(await readAsOf()).toBeGreaterThan(storedAtMs)
  })

  test.each([400, 404] as const)(
    'a gap is recorded if Auth0 deletes the entry of a checkpoint before it is a day old, and refuses the checkpoint with %d (pitfall 7)',
    async (expiredCheckpoint) => {
      await openTestTenant({ retentionMs: 10 * MINUTE }, { expiredCheckpoint })
      logIn()
      clock.pass(SECOND)
      await runPoll()
      const asOfBefore = await readAsOf()
      clock.pass(5 * SECOND)
      logOut('lost')
      clock.pass(20 * MINUTE)
      const { storedAtMs } = logOut('kept')
      clock.pass(SECOND)
      const findings = await runPoll()
      const gap: Gap = { from: asOfBefore, to: storedAtMs, reason: 'retention' }
      expect(findings.map(({ kind }) => kind)).toEqual(['gap', 'checkpoint_replaced'])
      await expect(readGaps()).resolves.toEqual([gap])
      expect(await readUserIds(database)).toEqual(['kept'])
      await expect(runPoll()).resolves.toEqual([])
    },
  )

  test('a gap is recorded if the log begins after a checkpoint that is not a day old, and Auth0 does not refuse the checkpoint', async () => {
    await openTestTenant({ retentionMs: 10 * MINUTE })
    logIn()
    await runPoll()
    clock.pass(20 * MINUTE)
    logOut('kept')
    clock.pass(SECOND)
    await runPoll()
    await expect(readGaps()).resolves.toMatchObject([{ reason: 'retention' }])
  })

  test('after an outage longer than the retention, a gap is recorded up to the current time if the log is empty', async () => {
    await openTestTenant()
    logIn()
    clock.pass(SECOND)
    await runPoll()
    const asOfBefore = await readAsOf()
    clock.pass(3 * DAY)
    await runPoll()
    const [gap] = await readGaps()
    expect(gap).toMatchObject({ from: asOfBefore, reason: 'empty_log' })
    // The end of the gap is a time from the Date header of Auth0, in whole seconds.
    expect(clock.now() - (gap?.to ?? 0)).toBeLessThan(SECOND)
    clock.pass(5 * SECOND)
    logOut('next')
    clock.pass(5 * SECOND)
    await runPoll()
    expect(await readUserIds(database)).toEqual(['next'])
    await expect(readGaps()).resolves.toHaveLength(1)
  })

  test('a gap is recorded if the log was empty before and after an outage longer than the retention', async () => {
    await openTestTenant()
    await runPoll()
    const asOfBefore = await readAsOf()
    clock.pass(HOUR)
    logOut('lost')
    clock.pass(3 * DAY)
    await runPoll()
    await expect(readGaps()).resolves.toMatchObject([{ from: asOfBefore, reason: 'empty_log' }])
  })

  test('after an outage longer than the retention, a gap is recorded if the log was empty at the first start', async () => {
    await openTestTenant()
    await runPoll()
    const asOfBefore = await readAsOf()
    clock.pass(3 * DAY)
    const { storedAtMs } = logOut('kept')
    clock.pass(SECOND)
    await runPoll()
    await expect(readGaps()).resolves.toEqual([
      { from: asOfBefore, to: storedAtMs, reason: 'retention' },
    ])
  })

  test('at the first start, a gap is recorded from the earliest login that a valid token can have to the beginning of the log', async () => {
    await openTestTenant()
    for (let hours = 30; hours > 0; hours--) logOut(`${hours} h ago`, clock.now() - hours * HOUR)
    await runPoll()
    const [gap] = await readGaps()
    expect(gap).toMatchObject({ to: clock.now() - DAY, reason: 'cold_start' })
    // A refresh token lives for 30 days, and its last access token for another day. The beginning of the gap is
    // calculated from the time of the request, which Auth0 states in whole seconds.
    const earliestLoginAt = clock.now() - 31 * DAY
    expect(earliestLoginAt - (gap?.from ?? 0)).toBeLessThanOrEqual(SECOND)
    await expect(isComplete()).resolves.toBe(false)
    // The gap ended a day ago. The tokens from before its end expire 31 days after its end.
    clock.pass(30 * DAY - SECOND)
    await expect(isComplete()).resolves.toBe(false)
    clock.pass(SECOND)
    await expect(isComplete()).resolves.toBe(true)
  })

  test('a gap of an interrupted first start is extended, not recorded twice, when a poll detects it again a day later', async () => {
    await openTestTenant({ retentionMs: 5 * DAY })
    for (let days = 6; days > 0; days--) logOut(`${days}`, clock.now() - days * DAY)
    failNextSearch()
    await expect(runPoll()).rejects.toMatchObject({ code: 'AUTH0_UNAVAILABLE' })
    const [gap] = await readGaps()
    clock.pass(DAY)
    await runPoll()
    await expect(readGaps()).resolves.toEqual([{ ...gap, to: (gap?.to ?? 0) + DAY }])
  })

  test('a gap of an interrupted first start is extended after an outage longer than the retention', async () => {
    await openTestTenant()
    for (let hours = 30; hours > 0; hours--) logOut(`${hours} h ago`, clock.now() - hours * HOUR)
    failNextSearch()
    await expect(runPoll()).rejects.toMatchObject({ code: 'AUTH0_UNAVAILABLE' })
    const [gap] = await readGaps()
    clock.pass(HOUR)
    logOut('lost')
    clock.pass(2 * DAY)
    const { storedAtMs } = logOut('kept')
    clock.pass(SECOND)
    await runPoll()
    await expect(readGaps()).resolves.toEqual([{ ...gap, to: storedAtMs, reason: 'retention' }])
  })

  test.each([30 * SECOND, SECOND])(
    'at the first start, a gap is recorded if RECONCILE_WINDOW is only %d ms',
    async (reconcileWindowMs) => {
      await openTestTenant()
      for (let hours = 30; hours > 0; hours--) logOut(`${hours} h ago`, clock.now() - hours * HOUR)
      const gap = { to: clock.now() - DAY, reason: 'cold_start' }
      await runPoll({ reconcileWindowMs })
      await expect(readGaps()).resolves.toMatchObject([gap])
      await expect(isComplete()).resolves.toBe(false)
    },
  )

  /**
   * Starts for the first time, in a tenant with a logout every ten minutes. Each search takes `searchMs`. Returns the
   * findings, and the time of the newest logout that was not read.
   */
  const runSlowFirstStart = async (searchMs: number, options: Partial<PollOptions> = {}) => {
    const begin = clock.now()
    for (let minutes = 26 * 60; minutes > 0; minutes -= 10) {
      logOut(`${minutes}`, begin - minutes * MINUTE)
    }
    const findings = await runPoll({ source: openSlowSource(searchMs), ...options })
    const stored = new Set(await readUserIds(database))
    const lost = [...Array(26 * 6).keys()]
      .map((n) => (n + 1) * 10)
      .filter((minutes) => !stored.has(`${minutes}`))
    return { findings, lastLostAt: begin - Math.min(...lost) * MINUTE }
  }

  test('the gap of a first start, and the floor, are extended to the entries that Auth0 deletes during the first search', async () => {
    await openTestTenant()
    const firstEnd = clock.now() - DAY
    const { findings, lastLostAt } = await runSlowFirstStart(5 * MINUTE, { onGap: 'floor' })
    expect(lastLostAt).toBeGreaterThan(firstEnd)
    const gaps = await readGaps()
    expect(gaps).toMatchObject([{ reason: 'cold_start' }])
    const to = gaps[0]?.to ?? 0
    expect(to).toBeGreaterThan(lastLostAt)
    // The gap contains only entries that Auth0 has deleted.
    expect(to).toBeLessThanOrEqual(clock.now() - DAY + 10 * MINUTE)
    await expect(store.readProgress()).resolves.toMatchObject({ floorAt: to, sweep: null })
    expect(findings.map(({ kind }) => kind)).toEqual(['gap', 'gap'])
    await expect(runPoll({ onGap: 'floor' })).resolves.toEqual([])
  })

  test('the gap of a first start is extended if the first search is interrupted, and the log is polled meanwhile', async () => {
    await openTestTenant()
    for (let minutes = 26 * 60; minutes > 0; minutes -= 10) {
      logOut(`${minutes} min ago`, clock.now() - minutes * MINUTE)
    }
    const lastLostAt = clock.now() - DAY + 20 * MINUTE
    for (let polls = 0; polls < 48; polls++) {
      failNextSearch()
      await expect(runPoll()).rejects.toMatchObject({ code: 'AUTH0_UNAVAILABLE' })
      logIn()
      clock.pass(25 * SECOND)
    }
    clock.pass(SECOND)
    await runPoll()
    const [gap, ...others] = await readGaps()
    expect(others).toEqual([])
    expect(gap?.to).toBeGreaterThan(lastLostAt)
    expect(gap?.to).toBeLessThanOrEqual(lastLostAt + 10 * MINUTE)
  })

  test('the first search sends few requests for the oldest entry, and none after it is found', async () => {
    await openTestTenant()
    await runSlowFirstStart(SECOND)
    // Two at the first page. Two when the search reaches the oldest entry.
    expect(auth0.simulator.requests.all().filter(isOldest)).toHaveLength(4)
  })

  test('no gap is recorded if the first search of a new tenant lasts until its oldest entry is more than twelve hours old', async () => {
    await openTestTenant()
    logOut('first', clock.now() - 11 * HOUR)
    logIn()
    const source = openSlowSource(10 * MINUTE)
    await runPoll({ source })
    await runPoll({ source })
    expect(await readUserIds(database)).toEqual(['first'])
    await expect(readGaps()).resolves.toEqual([])
    await expect(isComplete()).resolves.toBe(true)
  })

  test('a gap is recorded up to the beginning of the log, even if one request for the oldest entry returns no entry', async () => {
    await openTestTenant({ retentionMs: 10 * MINUTE }, { expiredCheckpoint: 400 })
    logIn()
    await runPoll()
    clock.pass(20 * MINUTE)
    const { storedAtMs } = logOut('kept')
    clock.pass(MINUTE)
    const respond = faults.respondWith(200, [])
    auth0.simulator.faults.push({ when: isOldestRequest, times: 1, respond })
    await runPoll({ onGap: 'floor' })
    await expect(readGaps()).resolves.toMatchObject([{ to: storedAtMs, reason: 'retention' }])
    await expect(store.readProgress()).resolves.toMatchObject({ floorAt: storedAtMs })
  })

  // The floor is an instant for the whole tenant. It revokes the tokens of all users whose login is not after it.
  test('with the setting ON_GAP=floor, the floor is raised to the end of a gap', async () => {
    await openTestTenant()
    logIn()
    await runPoll({ onGap: 'floor' })
    await expect(store.readProgress()).resolves.toMatchObject({ floorAt: null })
    clock.pass(2 * DAY)
    const { storedAtMs } = logIn()
    clock.pass(SECOND)
    await runPoll({ onGap: 'floor' })
    await expect(store.readProgress()).resolves.toMatchObject({ floorAt: storedAtMs })
  })
})

describe('a catch-up that Auth0 overtakes', () => {
  const ENTRIES_PER_SECOND = 10
  const BACKLOG_SECONDS = 120
  /** The outage before the catch-up. Auth0 retains entries for a day. */
  const OUTAGE_MS = DAY - 30 * SECOND

  /**
   * Simulates an outage slightly shorter than the retention. It begins with two minutes of ten entries per second. Each
   * second has one logout, and the name of its user is the number of the second. Returns the source of the catch-up,
   * which reads half as fast as these entries were stored.
   */
  const simulateOutage = async (): Promise<{ source: LogSource; stoppedAt: number }> => {
    await openTestTenant()
    logIn()
    clock.pass(SECOND)
    await runPoll()
    const stoppedAt = clock.now()
    for (let n = 0; n < BACKLOG_SECONDS * ENTRIES_PER_SECOND; n++) {
      const at = stoppedAt + Math.floor((n * SECOND) / ENTRIES_PER_SECOND)
      if (n % ENTRIES_PER_SECOND === 0) logOut(`${n / ENTRIES_PER_SECOND}`, at)
      else logIn(at)
    }
    logIn(stoppedAt + HOUR)
    clock.pass(OUTAGE_MS)
    const readPage: LogSource['readPage'] = async (...request) => {
      const page = await auth0.source.readPage(...request)
      clock.pass(20 * SECOND)
      return page
    }
    return { source: { ...auth0.source, readPage }, stoppedAt }
  }

  test('one gap contains the logouts that Auth0 deletes while they wait to be read', async () => {
    const { source, stoppedAt } = await simulateOutage()
    failNextSearch()
    const findings = await runPoll({ source })
    const stored = await readUserIds(database)
    const seconds = Array.from({ length: BACKLOG_SECONDS }, (_, second) => second)
    const lost = seconds.filter((second) => !stored.includes(`${second}`))
    // The first page was read in time. Some logouts after it were deleted.
    expect(lost).not.toContain(0)
    expect(lost.length).toBeGreaterThan(10)
    const [gap, ...others] = await readGaps()
    expect(others).toEqual([])
    expect(gap).toMatchObject({ reason: 'retention' })
    expect(gap?.from).toBeLessThanOrEqual(stoppedAt + (lost[0] ?? Number.NaN) * SECOND)
    expect(gap?.to).toBeGreaterThan(stoppedAt + (lost.at(-1) ?? Number.NaN) * SECOND)
    expect(findings.map(({ kind }) => kind)).toContain('gap')
    await expect(isComplete()).resolves.toBe(false)
  })

  test('no gap is recorded if a search finds all logouts of the outage', async () => {
    const { source } = await simulateOutage()
    const findings = await runPoll({ source })
    expect(findings.map(({ kind }) => kind)).toEqual(['outage'])
    await expect(readUserIds(database)).resolves.toHaveLength(BACKLOG_SECONDS)
    await expect(readGaps()).resolves.toEqual([])
  })
})

// A synthetic log id consists of a prefix, a storage time and zeros. It belongs to no entry.
describe('a checkpoint that Auth0 refuses', () => {
  /** Makes Auth0 refuse all matching requests. */
  const refuseAlways = (when: (url: URL) => boolean) =>
    auth0.simulator.faults.push({ when, times: Infinity, respond: faults.respondWith(400, {}) })

  test('a refused checkpoint is replaced by a synthetic id of the same storage time, and no logout is lost', async () => {
    await openTestTenant()
    logIn(clock.now() - HOUR)
    const { logId } = logIn()
    await runPoll()
    clock.pass(SECOND)
    logOut('next')
    clock.pass(SECOND)
    // Auth0 refuses one request for a page.
    auth0.simulator.faults.push({ path: LOGS_PATH, respond: faults.respondWith(400, {}) })
    // The log id up to the milliseconds of its storage time, and zeros.
    const to = logId.slice(0, '900yyyyMMddHHmmssSSS'.length).padEnd(logId.length, '0')
    await expect(runPoll()).resolves.toEqual([{ kind: 'checkpoint_replaced', from: logId, to }])
    expect(await readUserIds(database)).toEqual(['next'])
    await expect(readGaps()).resolves.toEqual([])
  })

  /** Opens a tenant whose log is too old for a new tenant, with five recent logouts. Auth0 refuses all synthetic checkpoints. */
  const openTenantWithoutSyntheticIds = async () => {
    await openTestTenant({ retentionMs: 40 * DAY })
    logIn(clock.now() - 35 * DAY)
    for (let n = 0; n < 5; n++) logOut(`${n}`, clock.now() - n * MINUTE - SECOND)
    refuseAlways(isSyntheticPageRequest)
  }

  test('a refused synthetic checkpoint is replaced by the newest entry, and a search finds the earlier logouts', async () => {
    await openTenantWithoutSyntheticIds()
    await runPoll()
    expect(await readUserIds(database)).toHaveLength(5)
    clock.pass(SECOND)
    logOut('next')
    clock.pass(SECOND)
    await runPoll()
    expect(await readUserIds(database)).toHaveLength(6)
    await expect(isComplete()).resolves.toBe(true)
  })

  test('a checkpoint that is refused during the first search of the log is replaced, and the search also finds the logouts between both checkpoints', async () => {
    await openTenantWithoutSyntheticIds()
    let searches = 0
    const source: LogSource = {
      ...auth0.source,
      search: async (search, signal) => {
        searches += 1
        if (searches === 3) {
          const { checkpoint } = await store.readProgress()
          clock.pass(MINUTE)
          logOut('between both checkpoints')
          clock.pass(MINUTE)
          // This entry becomes the new checkpoint, because it is the newest one.
          logIn()
          clock.pass(SECOND)
          refuseAlways((url) => url.searchParams.get('from') === checkpoint)
        }
        return auth0.source.search(search, signal)
      },
    }
    // With this interval, the poll reads pages from the checkpoint before each search.
    await runPoll({ pollIntervalMs: 0, source })
    expect(await readUserIds(database)).toContain('between both checkpoints')
    await expect(isComplete()).resolves.toBe(true)
  })

  test('a poll ends with an error if Auth0 refuses the checkpoint and each replacement of it', async () => {
    await openTestTenant()
    logIn()
    await runPoll()
    refuseAlways(isPageRequest)
    await expect(runPoll()).rejects.toMatchObject({ code: 'AUTH0_CHECKPOINT_REFUSED' })
  })
})
