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

const open = new AbortController().signal
const take = (body: string) => receive({ store, types }, body, open)
const readUnattributableIds = async () =>
  (await database.query<{ id: string }>('SELECT id FROM unattributable ORDER BY id')).map(
    ({ id }) => id,
  )

/** The forms in which a stream sends entries. */
const FORMS: Record<string, (entries: LogEntry[]) => string> = {
  'JSON lines of a webhook': (entries) => entries.map(wrapped).map(toJson).join('\n'),
  'an array of a webhook': (entries) => toJson(entries.map(wrapped)),
  'an array of EventBridge': (entries) =>
    toJson(entries.map((entry) => ({ 'detail-type': 'Auth0 log', detail: wrapped(entry) }))),
  'JSON lines of bare entries': (entries) => entries.map(toJson).join('\r\n'),
}

describe('a log-stream request', () => {
  test('stores the same rows as polling, in any order and form', async () => {
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
      fc.asyncProperty(fc.nat(), steps, async (seed, plan) => {
        const log = generateHistory({ ...day, entries: 150, users: 8, logoutShare: 0.7, seed })
        const t = await openTenant()
        const aborted = new AbortController().signal
        t.tenant.writeStored(log)
        for (const step of [...plan, 'poll' as const]) {
          if (step === 'poll') await poll({ source: t.source, store, types }, options, aborted)
          else await take(step.form(step.entries.map((n) => log[n % log.length] as LogEntry)))
        }
        const expected = expectedFromLog(log)
        expect(await readRows(database)).toEqual(expected.rows)
        expect(await readUnattributableIds()).toEqual(expected.unattributable)
        await t.close()
        await database.query('TRUNCATE last_logout, session_logout, unattributable')
        await database.query('UPDATE tenant SET checkpoint = NULL, as_of = NULL, sweep_to = NULL')
      }),
      { numRuns: 25, seed: 4 },
    )
  }, 120_000)

  test.each(Object.entries(FORMS))(
    'in the form %s stores these rows by itself',
    async (_name, form) => {
      const endMs = Date.now() - 1_000
      const log = generateHistory({ entries: 2_500, startMs: endMs - 60_000, endMs, users: 40 })
      await take(form(log))
      const expected = expectedFromLog(log)
      expect(await readRows(database)).toEqual(expected.rows)
      expect(await readUnattributableIds()).toEqual(expected.unattributable)
    },
  )

  test('moves neither the checkpoint nor as_of', async () => {
    const checkpoint = syntheticLogId(Date.now() - 60_000)
    await store.begin(checkpoint, null)
    const before = await store.readProgress()
    await take(toJson(logout({ user_id: 'auth0|1' })))
    expect((await readRows(database)).users).toHaveLength(1)
    expect(await store.readProgress()).toEqual({ ...before, now: expect.any(Number) })
  })

  test('is stored except for unreadable lines, which are stored as unattributable', async () => {
    const cutOff = '{"log_id":"900","data":{"type":"slo","user_id":"auth0|cut'
    const nul = `\u0000{"a":1}`
    const body = [toJson(logout({ user_id: 'auth0|1' })), cutOff, nul, 'null', '[[]]'].join('\n')
    await take(body)
    await take(body)
    expect((await readRows(database)).users).toMatchObject([{ userId: 'auth0|1' }])
    await expect(store.count()).resolves.toMatchObject({ unattributable: { malformed: 4 } })
    const kept = await database.query<{ entry: string }>('SELECT entry FROM unattributable')
    expect(kept.map(({ entry }) => JSON.parse(entry))).toContain(cutOff)
  })

  test('stores an entry without date and storage time as unattributable', async () => {
    await take(toJson({ type: 'slo', user_id: 'auth0|1' }))
    await take(toJson({ data: { type: 'slo', user_id: 'auth0|2', date: 'yesterday' } }))
    expect((await readRows(database)).users).toEqual([])
    await expect(store.count()).resolves.toMatchObject({ unattributable: { no_instant: 2 } })
  })

  test('writes nothing if all entries are of other types', async () => {
    const silent = { storeBatch: () => Promise.reject(new Error('asked')) }
    const others = [buildEntry('s'), buildEntry('flo'), { type: 'sapi', user_id: 'auth0|admin' }]
    await receive({ store: silent, types }, toJson(others), open)
  })

  test('rejects while the database is unavailable', async () => {
    const broken = { storeBatch: () => Promise.reject(new Error('away')) }
    const body = toJson(logout({ user_id: 'auth0|1' }))
    const taken = receive({ store: broken, types }, body, open)
    await expect(taken).rejects.toThrow('away')
  })

  test.each<[string, (count: number) => string]>([
    ['JSON lines', (count) => '1\n'.repeat(count)],
    ['an array', (count) => `[${Array(count).fill(1)}]`],
  ])('with more than ten thousand items is refused: %s', async (_form, items) => {
    await expect(take(items(10_001))).resolves.toBe('too many')
    expect(await readUnattributableIds()).toEqual([])
    await expect(take(items(10_000))).resolves.toBe('stored')
    expect(await readUnattributableIds()).toHaveLength(1)
  })

  test.each([
    ['brackets', '['.repeat(500_000)],
    ['brackets on lines', `${'['.repeat(1_000)}\n`.repeat(500)],
    ['a deep list', `${'['.repeat(500_000)}${']'.repeat(500_000)}`],
    ['a deep object', `${'{"data":'.repeat(500_000)}1${'}'.repeat(500_000)}`],
    ['an entry of many members', `{"type":"slo",${Array(500_000).fill('"a":1')}}`],
    ['an entry with a long list', `{"type":"slo","data":[${Array(500_000).fill('[]')}]}`],
  ])('with more than half a million JSON values is refused: %s', async (_what, body) => {
    await expect(take(body)).resolves.toBe('too many')
    expect(await readUnattributableIds()).toEqual([])
  })

  test('is stored with the maximum number of entries as Auth0 writes them', async () => {
    const entries = Array.from({ length: 10_000 }, () => wrapped(buildEntry('s')))
    await expect(take(entries.map(toJson).join('\n'))).resolves.toBe('stored')
    await expect(take(toJson(entries))).resolves.toBe('stored')
  })

  test('stops between two transactions when the client has disconnected', async () => {
    const disconnected = new AbortController()
    let batches = 0
    const storeBatch = async () => {
      disconnected.abort()
      return ++batches
    }
    const body = 'junk\n'.repeat(3_000)
    const taken = () => receive({ store: { storeBatch }, types }, body, disconnected.signal)
    await expect(taken()).rejects.toMatchObject({ code: 'ABORTED' })
    expect(batches).toBe(1)
    await expect(taken()).rejects.toMatchObject({ code: 'ABORTED' })
    expect(batches).toBe(1)
  })

  test.each([
    ['brackets', '['.repeat(100_000)],
    ['a deep list', `${'['.repeat(50_000)}${']'.repeat(50_000)}`],
    ['a deep object', `${'{"data":'.repeat(50_000)}1${'}'.repeat(50_000)}`],
    ['many short lines', '1\n'.repeat(10_000)],
    ['one long line', 'x'.repeat(1_000_000)],
  ])('can be %s without an error', async (_what, body) => {
    await take(body)
    const { unattributable } = await store.count()
    expect(unattributable.malformed).toBeGreaterThan(0)
  })
})

function logout(fields: LogEntry): LogEntry {
  return { ...buildEntry('slo'), log_id: syntheticLogId(Date.now() - 1_000), ...fields }
}

/** Wraps an entry as Auth0's webhooks do. */
function wrapped(entry: LogEntry): LogEntry {
  return { log_id: entry.log_id, data: entry }
}

function toJson(value: unknown): string {
  return JSON.stringify(value)
}
