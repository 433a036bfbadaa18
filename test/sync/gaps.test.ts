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
import { DAY, HOUR, MINUTE, POLL_OPTIONS, SECOND, TYPES } from '../_support/poll.js'
import { openTestStore, readRows, readUserIds } from '../_support/store.js'
import { openTenant, type TestTenant } from '../_support/tenant.js'

const LOGS = '/api/v2/logs'

let clock: Clock
let database: TestDatabase
let store: LastLogoutStore & { close(): Promise<void> }
let t: TestTenant
beforeEach(async () => {
  clock = createClock()
  database = await createTestDatabase()
  store = await openTestStore(database, { now: clock.now })
})
afterEach(async () => {
  await Promise.all([t.close(), store.close()])
  await database.drop()
})

/** Opens a tenant on the test's clock. Default: a tenant with the retention of the smallest plan. */
async function open(
  tenant: Partial<SimulatedTenantOptions> = {},
  simulator: Partial<SimulatorOptions> = {},
) {
  t = await openTenant(
    { now: clock.now, retentionMs: DAY, ...tenant },
    { expiresInSeconds: 365 * 86_400, ...simulator },
  )
}

/** Polls once. Returns its findings. */
async function run(over: Partial<PollOptions> & { source?: LogSource } = {}): Promise<Finding[]> {
  const findings: Finding[] = []
  const onFinding = (finding: Finding) => void findings.push(finding)
  const { source = t.source, ...rest } = over
  const deps = { source, store, types: TYPES, onFinding }
  await poll(deps, { ...POLL_OPTIONS, ...rest }, new AbortController().signal)
  return findings
}

const logout = (userId: string, dateMs = clock.now()) =>
  t.tenant.write(buildEntry('slo', { userId, sessionId: `${userId}'s` }), { dateMs })
const login = (dateMs = clock.now()) => t.tenant.write(buildEntry('s', { userId: 'u' }), { dateMs })

const readGaps = async () =>
  (await store.readGaps()).map(({ from, to, reason }): Gap => ({ from, to, reason }))
const isComplete = async () => (await store.readKnown('u', null)).complete
const asOf = async () => (await store.readProgress()).asOf ?? Number.NaN

describe('no gap is recorded', () => {
  test('while a quiet tenant is polled over a weekend and its last entry is deleted', async () => {
    await open()
    login()
    for (let hours = 0; hours < 72; hours += 12) {
      await run()
      clock.pass(12 * HOUR)
    }
    await run()
    login()
    clock.pass(2 * SECOND)
    await expect(run()).resolves.toEqual([])
    await expect(readGaps()).resolves.toEqual([])
    await expect(isComplete()).resolves.toBe(true)
  })

  test.each(['continue', 400, 404] as const)(
    'if the checkpoint of a quiet tenant has expired and Auth0 responds with %s',
    async (expiredCheckpoint) => {
      await open({}, { expiredCheckpoint })
      login()
      await run()
      for (let hours = 0; hours < 72; hours += 12) {
        clock.pass(12 * HOUR)
        await run()
      }
      logout('monday')
      clock.pass(5 * SECOND)
      await run()
      expect((await readRows(database)).users).toMatchObject([{ userId: 'monday' }])
      await expect(readGaps()).resolves.toEqual([])
      await expect(isComplete()).resolves.toBe(true)
    },
  )

  test('after an outage of a quiet tenant that is shorter than the retention of every plan', async () => {
    await open()
    login(clock.now() - 2 * DAY)
    await run()
    clock.pass(20 * HOUR)
    logout('first')
    clock.pass(HOUR)
    await run()
    await expect(readGaps()).resolves.toEqual([])
  })

  test('after an outage of two days if the log still holds older entries', async () => {
    await open({ retentionMs: 5 * DAY })
    login(clock.now() - HOUR)
    await run()
    clock.pass(DAY)
    logout('in the outage')
    clock.pass(DAY)
    await run()
    expect((await readRows(database)).users).toMatchObject([{ userId: 'in the outage' }])
    await expect(readGaps()).resolves.toEqual([])
  })

  test('if the entry with the oldest date was stored late and others are older', async () => {
    await open({ retentionMs: 5 * DAY })
    login()
    await run()
    login(clock.now() + SECOND)
    clock.pass(4 * DAY)
    t.tenant.write(buildEntry('scp', { userId: 'u' }), {
      dateMs: clock.now() - 20 * DAY,
      storedAtMs: clock.now() - HOUR,
    })
    await run()
    await expect(readGaps()).resolves.toEqual([])
  })

  test.each([400, 404] as const)(
    'if the entry with the oldest date was stored late and old positions are refused with %d',
    async (expiredCheckpoint) => {
      await open({ retentionMs: 5 * DAY }, { expiredCheckpoint })
      login(clock.now() - 4 * DAY)
      login(clock.now() - SECOND)
      await run()
      const before = await readGaps()
      clock.pass(5 * MINUTE)
      t.tenant.write(buildEntry('scp', { userId: 'u' }), {
        dateMs: clock.now() - 20 * DAY,
        storedAtMs: clock.now() - MINUTE,
      })
      await expect(run({ onGap: 'floor' })).resolves.toEqual([])
      await expect(readGaps()).resolves.toEqual(before)
    },
  )

  test.each([1, 2])(
    'if the request for the oldest entry returns no entry %d times',
    async (times) => {
      await open({ retentionMs: 10 * DAY })
      login(clock.now() - SECOND)
      await run()
      clock.pass(2 * MINUTE)
      login(clock.now() - MINUTE)
      const isOldest = (url: URL) => url.searchParams.get('sort') === 'date:1'
      t.simulator.faults.push({ when: isOldest, times, respond: faults.respondWith(200, []) })
      await expect(run({ onGap: 'floor' })).resolves.toEqual([])
      await expect(readGaps()).resolves.toEqual([])
    },
  )

  test('in a new tenant whose log is empty, or holds only the entry of our own token request', async () => {
    await open()
    await run()
    await expect(isComplete()).resolves.toBe(true)
    clock.pass(HOUR)
    await run()
    login()
    clock.pass(2 * SECOND)
    await run()
    await expect(readGaps()).resolves.toEqual([])
    await expect(isComplete()).resolves.toBe(true)
  })

  test('and no logout is lost, if an entry becomes visible late in an empty log', async () => {
    await open()
    await run()
    logout('late', clock.now() - 5 * SECOND)
    clock.pass(HOUR)
    login()
    clock.pass(SECOND)
    await run()
    expect((await readRows(database)).users).toMatchObject([{ userId: 'late' }])
    await expect(readGaps()).resolves.toEqual([])
  })

  test('in a tenant whose log begins an hour ago; the new tenant is reported instead', async () => {
    await open()
    const { storedAtMs } = login(clock.now() - HOUR)
    await expect(run()).resolves.toEqual([{ kind: 'new_tenant', oldestAt: storedAtMs }])
    await expect(readGaps()).resolves.toEqual([])
  })
})

describe('a gap is recorded', () => {
  test('from the last poll to the oldest retained entry after an outage longer than the retention (P7)', async () => {
    await open()
    login()
    clock.pass(SECOND)
    await run()
    const readTo = await asOf()
    clock.pass(HOUR)
    logout('lost')
    clock.pass(2 * DAY)
    const { storedAtMs } = logout('kept')
    clock.pass(MINUTE)
    const gap: Gap = { from: readTo, to: storedAtMs, reason: 'retention' }
    await expect(run()).resolves.toContainEqual({ kind: 'gap', gap, raisesFloor: false })
    await expect(readGaps()).resolves.toEqual([gap])
    expect((await readRows(database)).users).toMatchObject([{ userId: 'kept' }])
    await expect(isComplete()).resolves.toBe(false)
    // The second poll finds the same gap, and does not report it again.
    await expect(run()).resolves.toEqual([])
    expect(await asOf()).toBeGreaterThan(storedAtMs)
  })

  test.each([400, 404] as const)(
    'if a checkpoint from today is deleted and Auth0 refuses it with %d (P7)',
    async (expiredCheckpoint) => {
      await open({ retentionMs: 10 * MINUTE }, { expiredCheckpoint })
      login()
      clock.pass(SECOND)
      await run()
      const readTo = await asOf()
      clock.pass(5 * SECOND)
      logout('lost')
      clock.pass(20 * MINUTE)
      const { storedAtMs } = logout('kept')
      clock.pass(SECOND)
      const findings = await run()
      const gap: Gap = { from: readTo, to: storedAtMs, reason: 'retention' }
      expect(findings.map(({ kind }) => kind)).toEqual(['gap', 'checkpoint_replaced'])
      await expect(readGaps()).resolves.toEqual([gap])
      expect((await readRows(database)).users).toMatchObject([{ userId: 'kept' }])
      await expect(run()).resolves.toEqual([])
    },
  )

  test('if the log silently begins after a checkpoint from today', async () => {
    await open({ retentionMs: 10 * MINUTE })
    login()
    await run()
    clock.pass(20 * MINUTE)
    logout('kept')
    clock.pass(SECOND)
    await run()
    await expect(readGaps()).resolves.toMatchObject([{ reason: 'retention' }])
  })

  test('up to now after an outage longer than the retention if the log is empty', async () => {
    await open()
    login()
    clock.pass(SECOND)
    await run()
    const readTo = await asOf()
    clock.pass(3 * DAY)
    await run()
    const [gap] = await readGaps()
    expect(gap).toMatchObject({ from: readTo, reason: 'empty_log' })
    expect(clock.now() - (gap?.to ?? 0)).toBeLessThan(SECOND)
    // Entries from then on are read.
    clock.pass(5 * SECOND)
    logout('next')
    clock.pass(5 * SECOND)
    await run()
    expect((await readRows(database)).users).toMatchObject([{ userId: 'next' }])
    await expect(readGaps()).resolves.toHaveLength(1)
  })

  test('if the log was empty before and after an outage longer than the retention', async () => {
    await open()
    await run()
    const readTo = await asOf()
    clock.pass(HOUR)
    logout('lost')
    clock.pass(3 * DAY)
    await run()
    await expect(readGaps()).resolves.toMatchObject([{ from: readTo, reason: 'empty_log' }])
  })

  test('if the log was empty at the first start, after an outage longer than the retention', async () => {
    await open()
    await run()
    const readTo = await asOf()
    clock.pass(3 * DAY)
    const { storedAtMs } = logout('kept')
    clock.pass(SECOND)
    await run()
    await expect(readGaps()).resolves.toEqual([
      { from: readTo, to: storedAtMs, reason: 'retention' },
    ])
  })

  test('at a first start, from the earliest login of a valid token to the beginning of the log', async () => {
    await open()
    for (let hours = 30; hours > 0; hours--) logout(`${hours} h ago`, clock.now() - hours * HOUR)
    await run()
    const [gap] = await readGaps()
    expect(gap).toMatchObject({ to: clock.now() - DAY, reason: 'cold_start' })
    // The gap begins at a whole second, counted from the time of the request.
    expect(clock.now() - 31 * DAY - (gap?.from ?? 0)).toBeLessThanOrEqual(SECOND)
    await expect(isComplete()).resolves.toBe(false)
    // The gap counts as long as the refresh token with the maximum lifetime and its last access token can be valid.
    clock.pass(30 * DAY - SECOND)
    await expect(isComplete()).resolves.toBe(false)
    clock.pass(SECOND)
    await expect(isComplete()).resolves.toBe(true)
  })

  test('once, if an interrupted first start finds it again', async () => {
    await open({ retentionMs: 5 * DAY })
    for (let days = 6; days > 0; days--) logout(`${days}`, clock.now() - days * DAY)
    const isSweep = (url: URL) => url.searchParams.has('q')
    t.simulator.faults.push({ path: LOGS, when: isSweep, times: 5, respond: faults.html(502) })
    await expect(run()).rejects.toMatchObject({ code: 'AUTH0_UNAVAILABLE' })
    const [first] = await readGaps()
    clock.pass(DAY)
    await run()
    await expect(readGaps()).resolves.toEqual([{ ...first, to: (first?.to ?? 0) + DAY }])
  })

  test('after an interrupted first start and an outage longer than the retention', async () => {
    await open()
    for (let hours = 30; hours > 0; hours--) logout(`${hours} h ago`, clock.now() - hours * HOUR)
    const isSweep = (url: URL) => url.searchParams.has('q')
    t.simulator.faults.push({ path: LOGS, when: isSweep, times: 5, respond: faults.html(502) })
    await expect(run()).rejects.toMatchObject({ code: 'AUTH0_UNAVAILABLE' })
    const [first] = await readGaps()
    clock.pass(HOUR)
    logout('lost')
    clock.pass(2 * DAY)
    const { storedAtMs } = logout('kept')
    clock.pass(SECOND)
    await run()
    await expect(readGaps()).resolves.toEqual([{ ...first, to: storedAtMs, reason: 'retention' }])
  })

  test('up to the beginning of the log, even if one response presents the log as empty', async () => {
    await open({ retentionMs: 10 * MINUTE }, { expiredCheckpoint: 400 })
    login()
    await run()
    clock.pass(20 * MINUTE)
    const { storedAtMs } = logout('kept')
    clock.pass(MINUTE)
    const isOldest = (url: URL) => url.searchParams.get('sort') === 'date:1'
    t.simulator.faults.push({ when: isOldest, times: 1, respond: faults.respondWith(200, []) })
    await run({ onGap: 'floor' })
    await expect(readGaps()).resolves.toMatchObject([{ to: storedAtMs, reason: 'retention' }])
    await expect(store.readProgress()).resolves.toMatchObject({ floorAt: storedAtMs })
  })

  test('and the floor is raised to the end of the gap with ON_GAP=floor', async () => {
    await open()
    login()
    await run({ onGap: 'floor' })
    await expect(store.readProgress()).resolves.toMatchObject({ floorAt: null })
    clock.pass(2 * DAY)
    const { storedAtMs } = login()
    clock.pass(SECOND)
    await run({ onGap: 'floor' })
    await expect(store.readProgress()).resolves.toMatchObject({ floorAt: storedAtMs })
  })
})

describe('a checkpoint that Auth0 refuses', () => {
  test('is replaced by a synthetic id of its storage time if that time is retained, and no logout is lost', async () => {
    await open()
    login(clock.now() - HOUR)
    const { logId } = login()
    await run()
    clock.pass(SECOND)
    logout('next')
    clock.pass(SECOND)
    t.simulator.faults.push({ path: LOGS, respond: faults.respondWith(400, {}) })
    const to = logId.slice(0, 20).padEnd(56, '0')
    await expect(run()).resolves.toEqual([{ kind: 'checkpoint_replaced', from: logId, to }])
    expect((await readRows(database)).users).toMatchObject([{ userId: 'next' }])
    await expect(readGaps()).resolves.toEqual([])
  })

  test('is replaced by the newest entry if it was synthetic, and older entries are swept', async () => {
    await open({ retentionMs: 40 * DAY })
    login(clock.now() - 35 * DAY)
    for (let n = 0; n < 5; n++) logout(`${n}`, clock.now() - n * MINUTE - SECOND)
    const isMadeUp = (url: URL) => /0{39}$/.test(url.searchParams.get('from') ?? '')
    t.simulator.faults.push({
      path: LOGS,
      when: isMadeUp,
      times: 99,
      respond: faults.respondWith(400, {}),
    })
    await run()
    expect((await readRows(database)).users).toHaveLength(5)
    clock.pass(SECOND)
    logout('next')
    clock.pass(SECOND)
    await run()
    expect((await readRows(database)).users).toHaveLength(6)
    await expect(isComplete()).resolves.toBe(true)
  })

  test('is replaced during a first sweep, and the additional span is swept as well', async () => {
    await open({ retentionMs: 40 * DAY })
    login(clock.now() - 35 * DAY)
    for (let n = 0; n < 5; n++) logout(`${n}`, clock.now() - n * MINUTE - SECOND)
    const isMadeUp = (url: URL) => /0{39}$/.test(url.searchParams.get('from') ?? '')
    const refused = { times: Infinity, respond: faults.respondWith(400, {}) }
    t.simulator.faults.push({ when: isMadeUp, ...refused })
    let searches = 0
    const source: LogSource = {
      ...t.source,
      search: async (search, signal) => {
        if (++searches === 3) {
          const { checkpoint } = await store.readProgress()
          clock.pass(MINUTE)
          logout('between')
          clock.pass(MINUTE)
          login()
          clock.pass(SECOND)
          const isCheckpoint = (url: URL) => url.searchParams.get('from') === checkpoint
          t.simulator.faults.push({ when: isCheckpoint, ...refused })
        }
        return t.source.search(search, signal)
      },
    }
    await run({ pollIntervalMs: 0, source })
    const users = await readUserIds(database)
    expect(users).toContain('between')
    await expect(isComplete()).resolves.toBe(true)
  })

  test('ends the poll with an error if each replacement is refused', async () => {
    await open()
    login()
    await run()
    const isCheckpoint = (url: URL) => url.searchParams.has('from')
    t.simulator.faults.push({
      path: LOGS,
      when: isCheckpoint,
      times: 99,
      respond: faults.respondWith(400, {}),
    })
    await expect(run()).rejects.toMatchObject({ code: 'AUTH0_CHECKPOINT_REFUSED' })
  })
})
