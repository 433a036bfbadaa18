import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { LastLogoutStore } from '../../src/ports.js'
import { syntheticLogId } from '../../src/rules/log-id.js'
import { buildEntry } from '../../src/simulator/entries.js'
import { generateHistory } from '../../src/simulator/history.js'
import type { LogEntry } from '../../src/simulator/tenant.js'
import { poll } from '../../src/sync/poll.js'
import { receive } from '../../src/sync/receive.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { expectedFromLog } from '../_support/expected-rows.js'
import { HOUR, LOGOUT_TYPES, MINUTE, POLL_OPTIONS, SECOND } from '../_support/poll.js'
import { openTestStore, readRows } from '../_support/store.js'
import { openTenant } from '../_support/tenant.js'

// Auth0 can deliver log entries by webhook: a log stream. `receive` stores the entries of one such request, so that a
// logout takes effect before the next poll, which reads the same entries from the log. An entry that may be a logout
// but cannot be used is stored as unattributable, without effect on tokens.

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

const { signal: neverAborted } = new AbortController()
/** Receives a body, and stores its entries in the test database. */
const receiveBody = (body: string) => receive({ store, types: LOGOUT_TYPES }, body, neverAborted)
async function readUnattributableIds(): Promise<string[]> {
  const rows = await database.query<{ id: string }>('SELECT id FROM unattributable ORDER BY id')
  return rows.map(({ id }) => id)
}

/** For each format of log-stream bodies, a function that returns the body with these entries. */
const FORMATS: Record<string, (entries: LogEntry[]) => string> = {
  'JSON lines of a webhook': (entries) => entries.map(wrapEntry).map(toJson).join('\n'),
  'an array of a webhook': (entries) => toJson(entries.map(wrapEntry)),
  'an array of EventBridge': (entries) =>
    toJson(entries.map((entry) => ({ 'detail-type': 'Auth0 log', detail: wrapEntry(entry) }))),
  'JSON lines of bare entries': (entries) => entries.map(toJson).join('\r\n'),
}

describe('a log-stream request', () => {
  test('log-stream requests and polls store the expected rows, in any order and format', async () => {
    const lastHour = { startMs: Date.now() - HOUR, endMs: Date.now() - SECOND }
    // A step is a poll or, four times as often, a request with random entries of the log.
    const steps = fc.array(
      fc.oneof(
        { weight: 1, arbitrary: fc.constant('poll' as const) },
        {
          weight: 4,
          arbitrary: fc.record({
            entryNumbers: fc.array(fc.nat(), { minLength: 1, maxLength: 40 }),
            format: fc.constantFrom(...Object.values(FORMATS)),
          }),
        },
      ),
      { maxLength: 8 },
    )
    await fc.assert(
      fc.asyncProperty(fc.nat(), steps, async (seed, randomSteps) => {
        const log = generateHistory({ ...lastHour, entries: 150, users: 8, logoutShare: 0.7, seed })
        const auth0 = await openTenant()
        auth0.tenant.writeStored(log)
        for (const step of [...randomSteps, 'poll' as const]) {
          if (step === 'poll') {
            const deps = { source: auth0.source, store, types: LOGOUT_TYPES }
            await poll(deps, POLL_OPTIONS, neverAborted)
          } else {
            const entries = step.entryNumbers.map((n) => log[n % log.length] as LogEntry)
            await receiveBody(step.format(entries))
          }
        }
        const expected = expectedFromLog(log)
        expect(await readRows(database)).toEqual(expected.rows)
        expect(await readUnattributableIds()).toEqual(expected.unattributable)
        await auth0.close()
        // The next run of the property begins with an empty database.
        await database.query('TRUNCATE last_logout, session_logout, unattributable')
        await database.query('UPDATE tenant SET checkpoint = NULL, as_of = NULL, sweep_to = NULL')
      }),
      { numRuns: 25, seed: 4 },
    )
  }, 120_000)

  test.each(Object.entries(FORMATS))(
    'a request whose body is %s stores the expected rows without a poll',
    async (_name, format) => {
      const endMs = Date.now() - SECOND
      const log = generateHistory({ entries: 2_500, startMs: endMs - MINUTE, endMs, users: 40 })
      await receiveBody(format(log))
      const expected = expectedFromLog(log)
      expect(await readRows(database)).toEqual(expected.rows)
      expect(await readUnattributableIds()).toEqual(expected.unattributable)
    },
  )

  test('a request changes neither the checkpoint nor as_of, which record how far polls have read the log', async () => {
    const checkpoint = syntheticLogId(Date.now() - MINUTE)
    await store.setFirstCheckpoint(checkpoint, null)
    const progressBefore = await store.readProgress()
    await receiveBody(toJson(buildLogout({ user_id: 'auth0|1' })))
    expect((await readRows(database)).users).toHaveLength(1)
    expect(await store.readProgress()).toEqual({ ...progressBefore, now: expect.any(Number) })
  })

  test('two requests with the same unreadable lines store their logout, and each unreadable line once as unattributable', async () => {
    const truncatedLine = '{"log_id":"900","data":{"type":"slo","user_id":"auth0|cut'
    const lineWithNul = `\u0000{"a":1}`
    const unreadableLines = [truncatedLine, lineWithNul, 'null', '[[]]']
    const body = [toJson(buildLogout({ user_id: 'auth0|1' })), ...unreadableLines].join('\n')
    await receiveBody(body)
    await receiveBody(body)
    expect((await readRows(database)).users).toMatchObject([{ userId: 'auth0|1' }])
    await expect(store.count()).resolves.toMatchObject({
      unattributable: { malformed: unreadableLines.length },
    })
    const rows = await database.query<{ entry: string }>('SELECT entry FROM unattributable')
    expect(rows.map(({ entry }) => JSON.parse(entry))).toContain(truncatedLine)
  })

  test('a logout without a log id and without a valid date is stored as unattributable', async () => {
    await receiveBody(toJson({ type: 'slo', user_id: 'auth0|1' }))
    await receiveBody(toJson({ data: { type: 'slo', user_id: 'auth0|2', date: 'yesterday' } }))
    expect((await readRows(database)).users).toEqual([])
    await expect(store.count()).resolves.toMatchObject({ unattributable: { no_instant: 2 } })
  })

  test('receive does not call the store if no entry is a logout', async () => {
    const unusedStore = { storeBatch: () => Promise.reject(new Error('called')) }
    // A login, a failed logout, and a request to the Management API.
    const otherEntries = [
      buildEntry('s'),
      buildEntry('flo'),
      { type: 'sapi', user_id: 'auth0|admin' },
    ]
    const deps = { store: unusedStore, types: LOGOUT_TYPES }
    await expect(receive(deps, toJson(otherEntries), neverAborted)).resolves.toBe('stored')
  })

  test('receive rejects with the error of the store', async () => {
    const unavailableStore = { storeBatch: () => Promise.reject(new Error('unavailable')) }
    const body = toJson(buildLogout({ user_id: 'auth0|1' }))
    const deps = { store: unavailableStore, types: LOGOUT_TYPES }
    const receiving = receive(deps, body, neverAborted)
    await expect(receiving).rejects.toThrow('unavailable')
  })

  test.each<[string, (count: number) => string]>([
    ['JSON lines', (count) => '1\n'.repeat(count)],
    ['an array', (count) => `[${Array(count).fill(1)}]`],
  ])(
    'receive returns "too many" and stores nothing for more than 10,000 items: %s',
    async (_format, bodyOf) => {
      await expect(receiveBody(bodyOf(10_001))).resolves.toBe('too many')
      expect(await readUnattributableIds()).toEqual([])
      await expect(receiveBody(bodyOf(10_000))).resolves.toBe('stored')
      // All items are the same, so they are one unattributable entry.
      expect(await readUnattributableIds()).toHaveLength(1)
    },
  )

  test.each([
    ['brackets', '['.repeat(500_000)],
    ['brackets on lines', `${'['.repeat(1_000)}\n`.repeat(500)],
    ['a deep list', `${'['.repeat(500_000)}${']'.repeat(500_000)}`],
    ['a deep object', `${'{"data":'.repeat(500_000)}1${'}'.repeat(500_000)}`],
    ['an entry of many members', `{"type":"slo",${Array(500_000).fill('"a":1')}}`],
    ['an entry with a long list', `{"type":"slo","data":[${Array(500_000).fill('[]')}]}`],
  ])(
    'receive returns "too many" and stores nothing for a body of 500,000 JSON values or more: %s',
    async (_description, body) => {
      await expect(receiveBody(body)).resolves.toBe('too many')
      expect(await readUnattributableIds()).toEqual([])
    },
  )

  test('receive accepts 10,000 entries of the usual size', async () => {
    const entries = Array.from({ length: 10_000 }, () => wrapEntry(buildEntry('s')))
    await expect(receiveBody(entries.map(toJson).join('\n'))).resolves.toBe('stored')
    await expect(receiveBody(toJson(entries))).resolves.toBe('stored')
  })

  test('receive stops between two transactions when the client has disconnected', async () => {
    const disconnected = new AbortController()
    let storedBatches = 0
    const storeBatch = async () => {
      disconnected.abort()
      return ++storedBatches
    }
    // A transaction has at most 1,000 entries, so this body needs three.
    const body = 'junk\n'.repeat(3_000)
    const deps = { store: { storeBatch }, types: LOGOUT_TYPES }
    const receiveThreeBatches = () => receive(deps, body, disconnected.signal)
    await expect(receiveThreeBatches()).rejects.toMatchObject({ code: 'ABORTED' })
    expect(storedBatches).toBe(1)
    // The signal has aborted before the first transaction of this call.
    await expect(receiveThreeBatches()).rejects.toMatchObject({ code: 'ABORTED' })
    expect(storedBatches).toBe(1)
  })

  test.each([
    ['brackets', '['.repeat(100_000)],
    ['a deep list', `${'['.repeat(50_000)}${']'.repeat(50_000)}`],
    ['a deep object', `${'{"data":'.repeat(50_000)}1${'}'.repeat(50_000)}`],
    ['many short lines', '1\n'.repeat(10_000)],
    ['one long line', 'x'.repeat(1_000_000)],
  ])(
    'receive stores a body that consists of %s as unattributable, and does not reject',
    async (_description, body) => {
      await receiveBody(body)
      const { unattributable } = await store.count()
      expect(unattributable.malformed).toBeGreaterThan(0)
    },
  )
})

/** Returns an entry of a logout a second ago. `fields` replace its fields. */
function buildLogout(fields: LogEntry): LogEntry {
  return { ...buildEntry('slo'), log_id: syntheticLogId(Date.now() - SECOND), ...fields }
}

/** Wraps an entry as the webhooks of Auth0 do. */
function wrapEntry(entry: LogEntry): LogEntry {
  return { log_id: entry.log_id, data: entry }
}

function toJson(value: unknown): string {
  return JSON.stringify(value)
}
