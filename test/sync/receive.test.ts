import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { LastLogoutStore } from '../../src/ports.js'
import { syntheticLogId } from '../../src/rules/log-id.js'
import { buildEntry } from '../../src/simulator/entries.js'
import { generateHistory } from '../../src/simulator/history.js'
import type { LogEntry } from '../../src/simulator/tenant.js'
import { type PollOptions, poll } from '../../src/sync/poll.js'
import { receive } from '../../src/sync/receive.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { expectedFromLog } from '../_support/expected-rows.js'
import { openTestStore, readRows } from '../_support/store.js'
import { openTenant } from '../_support/tenant.js'

const types = new Set(['slo', 'universal_logout_succeeded'])
const options: PollOptions = {
  reconcileWindowMs: 900_000,
  maxRefreshAgeMs: 2_592_000_000,
  maxTokenAgeMs: 86_400_000,
  pollIntervalMs: 5_000,
  onGap: 'record',
}

let database: TestDatabase
let store: LastLogoutStore & { close(): Promise<void> }
beforeEach(async () => {
  database = await createTestDatabase()
  store = await openTestStore(database)
})
afterEach(async () => {
  await store.close()
  await database.drop()
})

const { signal } = new AbortController()
const receiveBody = (body: string) => receive({ store, types }, body, signal)
const readUnattributableIds = async () =>
  (await database.query<{ id: string }>('SELECT id FROM unattributable ORDER BY id')).map(
    ({ id }) => id,
  )

/** The formats of log-stream bodies. */
const FORMS: Record<string, (entries: LogEntry[]) => string> = {
  'JSON lines of a webhook': (entries) => entries.map(wrapEntry).map(toJson).join('\n'),
  'an array of a webhook': (entries) => toJson(entries.map(wrapEntry)),
  'an array of EventBridge': (entries) =>
    toJson(entries.map((entry) => ({ 'detail-type': 'Auth0 log', detail: wrapEntry(entry) }))),
  'JSON lines of bare entries': (entries) => entries.map(toJson).join('\r\n'),
}

describe('a log-stream request', () => {
  test('requests and polls store the same rows, in any order and form', async () => {
    const day = { startMs: Date.now() - 3_600_000, endMs: Date.now() - 1_000 }
    const steps = fc.array(
      fc.oneof(
        { weight: 1, arbitrary: fc.constant('poll' as const) },
        {
          weight: 4,
          arbitrary: fc.record({
            entries: fc.array(fc.nat(), { minLength: 1, maxLength: 40 }),
            form: fc.constantFrom(...Object.values(FORMS)),
          }),
        },
      ),
      { maxLength: 8 },
    )
    await fc.assert(
      fc.asyncProperty(fc.nat(), steps, async (seed, randomSteps) => {
        const log = generateHistory({ ...day, entries: 150, users: 8, logoutShare: 0.7, seed })
        const auth0 = await openTenant()
        auth0.tenant.writeStored(log)
        for (const step of [...randomSteps, 'poll' as const]) {
          if (step === 'poll') await poll({ source: auth0.source, store, types }, options, signal)
          else {
            const entries = step.entries.map((number) => log[number % log.length] as LogEntry)
            await receiveBody(step.form(entries))
          }
        }
        const expected = expectedFromLog(log)
        expect(await readRows(database)).toEqual(expected.rows)
        expect(await readUnattributableIds()).toEqual(expected.unattributable)
        await auth0.close()
        await database.query('TRUNCATE last_logout, session_logout, unattributable')
        await database.query('UPDATE tenant SET checkpoint = NULL, as_of = NULL, sweep_to = NULL')
      }),
      { numRuns: 25, seed: 4 },
    )
  }, 120_000)

  test.each(Object.entries(FORMS))(
    'a request with the form %s stores the expected rows without a poll',
    async (_name, form) => {
      const endMs = Date.now() - 1_000
      const log = generateHistory({ entries: 2_500, startMs: endMs - 60_000, endMs, users: 40 })
      await receiveBody(form(log))
      const expected = expectedFromLog(log)
      expect(await readRows(database)).toEqual(expected.rows)
      expect(await readUnattributableIds()).toEqual(expected.unattributable)
    },
  )

  test('a request does not move the checkpoint or as_of', async () => {
    const checkpoint = syntheticLogId(Date.now() - 60_000)
    await store.setFirstCheckpoint(checkpoint, null)
    const progressBefore = await store.readProgress()
    await receiveBody(toJson(logout({ user_id: 'auth0|1' })))
    expect((await readRows(database)).users).toHaveLength(1)
    expect(await store.readProgress()).toEqual({ ...progressBefore, now: expect.any(Number) })
  })

  test('a request with unreadable lines stores its logouts, and stores each unreadable line as an unattributable entry', async () => {
    const cutOff = '{"log_id":"900","data":{"type":"slo","user_id":"auth0|cut'
    const nul = `\u0000{"a":1}`
    const body = [toJson(logout({ user_id: 'auth0|1' })), cutOff, nul, 'null', '[[]]'].join('\n')
    await receiveBody(body)
    await receiveBody(body)
    expect((await readRows(database)).users).toMatchObject([{ userId: 'auth0|1' }])
    await expect(store.count()).resolves.toMatchObject({ unattributable: { malformed: 4 } })
    const rows = await database.query<{ entry: string }>('SELECT entry FROM unattributable')
    expect(rows.map(({ entry }) => JSON.parse(entry))).toContain(cutOff)
  })

  test('an entry without date and storage time is stored as unattributable', async () => {
    await receiveBody(toJson({ type: 'slo', user_id: 'auth0|1' }))
    await receiveBody(toJson({ data: { type: 'slo', user_id: 'auth0|2', date: 'yesterday' } }))
    expect((await readRows(database)).users).toEqual([])
    await expect(store.count()).resolves.toMatchObject({ unattributable: { no_instant: 2 } })
  })

  test('a request writes nothing if no entry is a logout', async () => {
    const unusedStore = { storeBatch: () => Promise.reject(new Error('not called')) }
    const otherEntries = [
      buildEntry('s'),
      buildEntry('flo'),
      { type: 'sapi', user_id: 'auth0|admin' },
    ]
    await receive({ store: unusedStore, types }, toJson(otherEntries), signal)
  })

  test('receive rejects while the database is unavailable', async () => {
    const unavailableStore = { storeBatch: () => Promise.reject(new Error('unavailable')) }
    const body = toJson(logout({ user_id: 'auth0|1' }))
    const receiving = receive({ store: unavailableStore, types }, body, signal)
    await expect(receiving).rejects.toThrow('unavailable')
  })

  test.each<[string, (count: number) => string]>([
    ['JSON lines', (count) => '1\n'.repeat(count)],
    ['an array', (count) => `[${Array(count).fill(1)}]`],
  ])('receive returns "too many" for more than ten thousand items: %s', async (_form, items) => {
    await expect(receiveBody(items(10_001))).resolves.toBe('too many')
    expect(await readUnattributableIds()).toEqual([])
    await expect(receiveBody(items(10_000))).resolves.toBe('stored')
    expect(await readUnattributableIds()).toHaveLength(1)
  })

  test.each([
    ['brackets', '['.repeat(500_000)],
    ['brackets on lines', `${'['.repeat(1_000)}\n`.repeat(500)],
    ['a deep list', `${'['.repeat(500_000)}${']'.repeat(500_000)}`],
    ['a deep object', `${'{"data":'.repeat(500_000)}1${'}'.repeat(500_000)}`],
    ['an entry of many members', `{"type":"slo",${Array(500_000).fill('"a":1')}}`],
    ['an entry with a long list', `{"type":"slo","data":[${Array(500_000).fill('[]')}]}`],
  ])(
    'receive returns "too many" for more than half a million JSON values: %s',
    async (_what, body) => {
      await expect(receiveBody(body)).resolves.toBe('too many')
      expect(await readUnattributableIds()).toEqual([])
    },
  )

  test('a request with ten thousand entries of the usual size is stored', async () => {
    const entries = Array.from({ length: 10_000 }, () => wrapEntry(buildEntry('s')))
    await expect(receiveBody(entries.map(toJson).join('\n'))).resolves.toBe('stored')
    await expect(receiveBody(toJson(entries))).resolves.toBe('stored')
  })

  test('receive stops between two transactions when the client has disconnected', async () => {
    const disconnected = new AbortController()
    let batches = 0
    const storeBatch = async () => {
      disconnected.abort()
      return ++batches
    }
    const body = 'junk\n'.repeat(3_000)
    const receiving = () => receive({ store: { storeBatch }, types }, body, disconnected.signal)
    await expect(receiving()).rejects.toMatchObject({ code: 'ABORTED' })
    expect(batches).toBe(1)
    await expect(receiving()).rejects.toMatchObject({ code: 'ABORTED' })
    expect(batches).toBe(1)
  })

  test.each([
    ['brackets', '['.repeat(100_000)],
    ['a deep list', `${'['.repeat(50_000)}${']'.repeat(50_000)}`],
    ['a deep object', `${'{"data":'.repeat(50_000)}1${'}'.repeat(50_000)}`],
    ['many short lines', '1\n'.repeat(10_000)],
    ['one long line', 'x'.repeat(1_000_000)],
  ])('a request that consists of %s causes no error', async (_what, body) => {
    await receiveBody(body)
    const { unattributable } = await store.count()
    expect(unattributable.malformed).toBeGreaterThan(0)
  })
})

function logout(fields: LogEntry): LogEntry {
  return { ...buildEntry('slo'), log_id: syntheticLogId(Date.now() - 1_000), ...fields }
}

/** Wraps an entry as the webhooks of Auth0 do. */
function wrapEntry(entry: LogEntry): LogEntry {
  return { log_id: entry.log_id, data: entry }
}

function toJson(value: unknown): string {
  return JSON.stringify(value)
}
