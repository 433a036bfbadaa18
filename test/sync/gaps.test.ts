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
import { openTestStore, readRows, readUserIds } from '../_support/store.js'
import { openTenant, type TestTenant } from '../_support/tenant.js'

const PATH = '/api/v2/logs'

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

/** Opens a tenant that uses the clock of the test. By default, Auth0 retains entries for a day. */
async function openTestTenant(
  tenant: Partial<SimulatedTenantOptions> = {},
  simulator: Partial<SimulatorOptions> = {},
) {
  auth0 = await openTenant(
    { now: clock.now, retentionMs: DAY, ...tenant },
    { expiresInSeconds: 365 * 86_400, ...simulator },
  )
}

/** Polls once. Returns the findings of the poll. */
async function runPoll(options: Partial<PollOptions> & { source?: LogSource } = {}) {
  const findings: Finding[] = []
  const onFinding = (finding: Finding) => void findings.push(finding)
  const { source = auth0.source, ...overrides } = options
  const deps = { source, store, types: LOGOUT_TYPES, onFinding }
  await poll(deps, { ...POLL_OPTIONS, ...overrides }, new AbortController().signal)
  return findings
}

const logOut = (userId: string, dateMs = clock.now()) =>
  auth0.tenant.write(buildEntry('slo', { userId, sessionId: `${userId}'s` }), { dateMs })
const logIn = (dateMs = clock.now()) =>
  auth0.tenant.write(buildEntry('s', { userId: 'u' }), { dateMs })

const readGaps = async () =>
  (await store.readGaps()).map(({ from, to, reason }): Gap => ({ from, to, reason }))
const isComplete = async () => (await store.readKnownLogouts('u', null)).complete
const readAsOf = async () => (await store.readProgress()).asOf ?? Number.NaN

describe('no gap is recorded', () => {
  test('no gap is recorded while a quiet tenant is polled over a weekend and its last entry is deleted', async () => {
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
    'no gap is recorded if the checkpoint of a quiet tenant has expired and Auth0 responds with %s',
    async (expiredCheckpoint) => {
      await openTestTenant({}, { expiredCheckpoint })
      logIn()
      await runPoll()
      for (let hours = 0; hours < 72; hours += 12) {
        clock.pass(12 * HOUR)
        await runPoll()
      }
      logOut('monday')
      clock.pass(5 * SECOND)
      await runPoll()
      expect((await readRows(database)).users).toMatchObject([{ userId: 'monday' }])
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
    logOut('in the outage')
    clock.pass(DAY)
    await runPoll()
    expect((await readRows(database)).users).toMatchObject([{ userId: 'in the outage' }])
    await expect(readGaps()).resolves.toEqual([])
  })

  test('no gap is recorded if the entry with the oldest date was stored late, and other entries were stored earlier', async () => {
    await openTestTenant({ retentionMs: 5 * DAY })
    logIn()
    await runPoll()
    logIn(clock.now() + SECOND)
    clock.pass(4 * DAY)
    auth0.tenant.write(buildEntry('scp', { userId: 'u' }), {
      dateMs: clock.now() - 20 * DAY,
      storedAtMs: clock.now() - HOUR,
    })
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
      auth0.tenant.write(buildEntry('scp', { userId: 'u' }), {
        dateMs: clock.now() - 20 * DAY,
        storedAtMs: clock.now() - MINUTE,
      })
      await expect(runPoll({ onGap: 'floor' })).resolves.toEqual([])
      await expect(readGaps()).resolves.toEqual(gapsBefore)
    },
  )

  test.each([1, 2])(
    'no gap is recorded if the request for the oldest entry returns no entry %d times',
    async (times) => {
      await openTestTenant({ retentionMs: 10 * DAY })
      logIn(clock.now() - SECOND)
      await runPoll()
      clock.pass(2 * MINUTE)
      logIn(clock.now() - MINUTE)
      const isOldest = (url: URL) => url.searchParams.get('sort') === 'date:1'
      auth0.simulator.faults.push({ when: isOldest, times, respond: faults.respondWith(200, []) })
      await expect(runPoll({ onGap: 'floor' })).resolves.toEqual([])
      await expect(readGaps()).resolves.toEqual([])
    },
  )

  test('no gap is recorded in a new tenant with an empty log or a log of one entry', async () => {
    await openTestTenant()
    await runPoll()
    await expect(isComplete()).resolves.toBe(true)
    clock.pass(HOUR)
    await runPoll()
    logIn()
    clock.pass(2 * SECOND)
    await runPoll()
    await expect(readGaps()).resolves.toEqual([])
    await expect(isComplete()).resolves.toBe(true)
  })

  test('no gap is recorded and no logout is lost if an entry becomes visible late in an empty log', async () => {
    await openTestTenant()
    await runPoll()
    logOut('late', clock.now() - 5 * SECOND)
    clock.pass(HOUR)
    logIn()
    clock.pass(SECOND)
    await runPoll()
    expect((await readRows(database)).users).toMatchObject([{ userId: 'late' }])
    await expect(readGaps()).resolves.toEqual([])
  })

  test('no gap is recorded if the log begins an hour ago, and a new tenant is reported', async () => {
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
    expect((await readRows(database)).users).toMatchObject([{ userId: 'kept' }])
    await expect(isComplete()).resolves.toBe(false)
    // The second poll finds the same gap, and does not report it again.
    await expect(runPoll()).resolves.toEqual([])
    expect(await readAsOf()).toBeGreaterThan(storedAtMs)
  })

  test.each([400, 404] as const)(
    'a gap is recorded if the entry of a checkpoint from today is deleted, and Auth0 refuses the checkpoint with %d (pitfall 7)',
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
      expect((await readRows(database)).users).toMatchObject([{ userId: 'kept' }])
      await expect(runPoll()).resolves.toEqual([])
    },
  )

  test('a gap is recorded if the log begins after a checkpoint from today, and Auth0 does not refuse the checkpoint', async () => {
    await openTestTenant({ retentionMs: 10 * MINUTE })
    logIn()
    await runPoll()
    clock.pass(20 * MINUTE)
    logOut('kept')
    clock.pass(SECOND)
    await runPoll()
    await expect(readGaps()).resolves.toMatchObject([{ reason: 'retention' }])
  })

  test('after an outage longer than the retention, a gap is recorded up to now if the log is empty', async () => {
    await openTestTenant()
    logIn()
    clock.pass(SECOND)
    await runPoll()
    const asOfBefore = await readAsOf()
    clock.pass(3 * DAY)
    await runPoll()
    const [gap] = await readGaps()
    expect(gap).toMatchObject({ from: asOfBefore, reason: 'empty_log' })
    expect(clock.now() - (gap?.to ?? 0)).toBeLessThan(SECOND)
    clock.pass(5 * SECOND)
    logOut('next')
    clock.pass(5 * SECOND)
    await runPoll()
    expect((await readRows(database)).users).toMatchObject([{ userId: 'next' }])
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

  test('at a first start, a gap is recorded from the earliest login of a valid token to the beginning of the log', async () => {
    await openTestTenant()
    for (let hours = 30; hours > 0; hours--) logOut(`${hours} h ago`, clock.now() - hours * HOUR)
    await runPoll()
    const [gap] = await readGaps()
    expect(gap).toMatchObject({ to: clock.now() - DAY, reason: 'cold_start' })
    // The beginning of the gap is calculated from the time of the request, which Auth0 states in whole seconds.
    expect(clock.now() - 31 * DAY - (gap?.from ?? 0)).toBeLessThanOrEqual(SECOND)
    await expect(isComplete()).resolves.toBe(false)
    // A refresh token from before the end of the gap lives for 30 days, and its last access token for another day.
    clock.pass(30 * DAY - SECOND)
    await expect(isComplete()).resolves.toBe(false)
    clock.pass(SECOND)
    await expect(isComplete()).resolves.toBe(true)
  })

  test('a gap is recorded once, even if the poll after an interrupted first start detects the gap again', async () => {
    await openTestTenant({ retentionMs: 5 * DAY })
    for (let days = 6; days > 0; days--) logOut(`${days}`, clock.now() - days * DAY)
    const isSweep = (url: URL) => url.searchParams.has('q')
    auth0.simulator.faults.push({ path: PATH, when: isSweep, times: 5, respond: faults.html(502) })
    await expect(runPoll()).rejects.toMatchObject({ code: 'AUTH0_UNAVAILABLE' })
    const [gap] = await readGaps()
    clock.pass(DAY)
    await runPoll()
    await expect(readGaps()).resolves.toEqual([{ ...gap, to: (gap?.to ?? 0) + DAY }])
  })

  test('a gap is recorded after an interrupted first start and an outage longer than the retention', async () => {
    await openTestTenant()
    for (let hours = 30; hours > 0; hours--) logOut(`${hours} h ago`, clock.now() - hours * HOUR)
    const isSweep = (url: URL) => url.searchParams.has('q')
    auth0.simulator.faults.push({ path: PATH, when: isSweep, times: 5, respond: faults.html(502) })
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

  test('a gap is recorded up to the beginning of the log, even if one response presents the log as empty', async () => {
    await openTestTenant({ retentionMs: 10 * MINUTE }, { expiredCheckpoint: 400 })
    logIn()
    await runPoll()
    clock.pass(20 * MINUTE)
    const { storedAtMs } = logOut('kept')
    clock.pass(MINUTE)
    const isOldest = (url: URL) => url.searchParams.get('sort') === 'date:1'
    auth0.simulator.faults.push({ when: isOldest, times: 1, respond: faults.respondWith(200, []) })
    await runPoll({ onGap: 'floor' })
    await expect(readGaps()).resolves.toMatchObject([{ to: storedAtMs, reason: 'retention' }])
    await expect(store.readProgress()).resolves.toMatchObject({ floorAt: storedAtMs })
  })

  test('with ON_GAP=floor, the floor is raised to the end of a gap', async () => {
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

describe('a checkpoint that Auth0 refuses', () => {
  test('a refused checkpoint is replaced by a synthetic id of the same storage time, and no logout is lost', async () => {
    await openTestTenant()
    logIn(clock.now() - HOUR)
    const { logId } = logIn()
    await runPoll()
    clock.pass(SECOND)
    logOut('next')
    clock.pass(SECOND)
    auth0.simulator.faults.push({ path: PATH, respond: faults.respondWith(400, {}) })
    const to = logId.slice(0, 20).padEnd(56, '0')
    await expect(runPoll()).resolves.toEqual([{ kind: 'checkpoint_replaced', from: logId, to }])
    expect((await readRows(database)).users).toMatchObject([{ userId: 'next' }])
    await expect(readGaps()).resolves.toEqual([])
  })

  test('a refused synthetic checkpoint is replaced by the newest entry, and older entries are swept', async () => {
    await openTestTenant({ retentionMs: 40 * DAY })
    logIn(clock.now() - 35 * DAY)
    for (let n = 0; n < 5; n++) logOut(`${n}`, clock.now() - n * MINUTE - SECOND)
    const hasSyntheticCheckpoint = (url: URL) => /0{39}$/.test(url.searchParams.get('from') ?? '')
    auth0.simulator.faults.push({
      path: PATH,
      when: hasSyntheticCheckpoint,
      times: 99,
      respond: faults.respondWith(400, {}),
    })
    await runPoll()
    expect((await readRows(database)).users).toHaveLength(5)
    clock.pass(SECOND)
    logOut('next')
    clock.pass(SECOND)
    await runPoll()
    expect((await readRows(database)).users).toHaveLength(6)
    await expect(isComplete()).resolves.toBe(true)
  })

  test('a checkpoint that is refused during the first sweep is replaced, and the time before the new checkpoint is swept', async () => {
    await openTestTenant({ retentionMs: 40 * DAY })
    logIn(clock.now() - 35 * DAY)
    for (let n = 0; n < 5; n++) logOut(`${n}`, clock.now() - n * MINUTE - SECOND)
    const hasSyntheticCheckpoint = (url: URL) => /0{39}$/.test(url.searchParams.get('from') ?? '')
    const refusal = { times: Infinity, respond: faults.respondWith(400, {}) }
    auth0.simulator.faults.push({ when: hasSyntheticCheckpoint, ...refusal })
    let searches = 0
    const source: LogSource = {
      ...auth0.source,
      search: async (search, signal) => {
        if (++searches === 3) {
          const { checkpoint } = await store.readProgress()
          clock.pass(MINUTE)
          logOut('between')
          clock.pass(MINUTE)
          logIn()
          clock.pass(SECOND)
          const isCheckpoint = (url: URL) => url.searchParams.get('from') === checkpoint
          auth0.simulator.faults.push({ when: isCheckpoint, ...refusal })
        }
        return auth0.source.search(search, signal)
      },
    }
    await runPoll({ pollIntervalMs: 0, source })
    const users = await readUserIds(database)
    expect(users).toContain('between')
    await expect(isComplete()).resolves.toBe(true)
  })

  test('a poll ends with an error if Auth0 refuses each replacement of the checkpoint', async () => {
    await openTestTenant()
    logIn()
    await runPoll()
    const isCheckpoint = (url: URL) => url.searchParams.has('from')
    auth0.simulator.faults.push({
      path: PATH,
      when: isCheckpoint,
      times: 99,
      respond: faults.respondWith(400, {}),
    })
    await expect(runPoll()).rejects.toMatchObject({ code: 'AUTH0_CHECKPOINT_REFUSED' })
  })
})
