import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { LastLogoutStore } from '../../src/ports.js'
import { loadRecording, readRecording } from '../../src/simulator/recording.js'
import { poll } from '../../src/sync/poll.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { LOGOUT_TYPES, POLL_OPTIONS, SECOND } from '../_support/poll.js'
import { openTestStore, readRows } from '../_support/store.js'
import { openTenant, type TestTenant } from '../_support/tenant.js'

// A poll reads the tenant log and stores the logouts: a row for each user and a row for each ended session. These tests
// poll logs whose entries have the shapes that were observed in real tenants, and responses that were recorded there.

const NOON = Date.parse('2026-11-23T12:00:00Z')

let database: TestDatabase
let store: LastLogoutStore & { close(): Promise<void> }
let auth0: TestTenant | undefined
beforeEach(async () => {
  database = await createTestDatabase()
  store = await openTestStore(database)
})
afterEach(async () => {
  await Promise.all([auth0?.close(), store.close()])
  await database.drop()
})

/** Fills the log of a tenant, and polls the log at the instant `now`. Returns the number of entries that were read. */
async function pollLog(now: number, fill: (tenant: TestTenant['tenant']) => void): Promise<number> {
  auth0 = await openTenant({ now: () => now })
  fill(auth0.tenant)
  let entries = 0
  const onProgress = (progress: { entries: number }) => {
    entries += progress.entries
  }
  const deps = { source: auth0.source, store, types: LOGOUT_TYPES, onProgress }
  await poll(deps, POLL_OPTIONS, new AbortController().signal)
  return entries
}

/** Returns a log id whose storage time is `msAfterNoon` after {@link NOON}. It contains this time after the prefix. */
const idAt = (msAfterNoon: number) =>
  `900202611231200${String(msAfterNoon).padStart(5, '0')}${'7'.repeat(36)}`

const BROWSER_FIELDS = {
  connection: 'Username-Password-Authentication',
  connection_id: 'con_0000000000000001',
  client_id: 'client-of-the-web-app',
  client_name: 'Web app',
  ip: '203.0.113.7',
  user_agent: 'Firefox 131.0.0 / Ubuntu 0.0.0',
  hostname: 'tenant.example',
  user_name: 'nia@example.com',
  isMobile: false,
}

describe('logouts in the shapes that tenants write', () => {
  test('a poll stores logouts of every recorded shape as the expected rows', async () => {
    const log = [
      {
        // Recorded in 2021 and 2023, from a database connection and a social connection. The entry has a session id.
        ...BROWSER_FIELDS,
        date: '2026-11-23T12:00:00.100Z',
        type: 'slo',
        details: {
          return_to: 'https://app.example.com',
          allowed_logout_url: ['https://app.example.com'],
          session_id: 'session-of-the-laptop',
        },
        user_id: 'auth0|nia',
        log_id: idAt(3400),
        _id: idAt(3400),
      },
      {
        // Recorded in 2024, from a passwordless connection. The entry has about fifty return URLs and no session id, so
        // it ends all sessions of its user.
        ...BROWSER_FIELDS,
        connection: 'email',
        date: '2026-11-23T12:00:03.500Z',
        type: 'slo',
        details: {
          return_to: 'https://app.example.com',
          allowed_logout_url: Array.from({ length: 50 }, (_, n) => `https://app${n}.example.com`),
        },
        user_id: 'email|omar',
        log_id: idAt(3549),
        _id: idAt(3549),
      },
      {
        // An earlier logout of the same user, with a session id. It was stored later.
        ...BROWSER_FIELDS,
        date: '2026-11-23T12:00:01.000Z',
        type: 'slo',
        details: { session_id: 'session-of-omar' },
        user_id: 'email|omar',
        log_id: idAt(4000),
      },
      {
        // Not recorded: according to the published schema, an entry can lack the user. Its session still ends.
        date: '2026-11-23T12:00:04.000Z',
        type: 'slo',
        description: '',
        client_id: null,
        details: { session_id: 'session-of-no-user', initiated_by: 'x', protocol: 'y' },
        log_id: idAt(5000),
        environment_name: 'prod-eu-1',
        tenant_name: 'tenant',
        is_mobile: false,
      },
      {
        // An entry with `null` instead of absent fields. Without a user and a session, it is unattributable.
        date: '2026-11-23T12:00:05.000Z',
        type: 'slo',
        connection: null,
        details: null,
        user_id: null,
        user_name: null,
        log_id: idAt(6000),
        _id: idAt(6000),
      },
      {
        // A logout of all sessions. Its date is 9 ms after its storage time, and the earlier of the two counts.
        date: '2026-11-23T12:00:07.009Z',
        type: 'universal_logout_succeeded',
        description: '',
        user_id: 'google-oauth2|pia',
        log_id: idAt(7000),
      },
      {
        // A failed logout. It does not count, because outsiders can cause it.
        ...BROWSER_FIELDS,
        date: '2026-11-23T12:00:08.000Z',
        type: 'flo',
        details: { session_id: 'session-of-the-phone' },
        user_id: 'auth0|nia',
        log_id: idAt(8000),
      },
    ]
    expect(await pollLog(NOON + 10 * SECOND, (tenant) => tenant.writeStored(log))).toBe(log.length)

    expect(await readRows(database)).toEqual({
      users: [
        {
          userId: 'auth0|nia',
          at: NOON + 100,
          allSessionsAt: null,
          logId: idAt(3400),
          type: 'slo',
        },
        {
          userId: 'email|omar',
          at: NOON + 3500,
          allSessionsAt: NOON + 3500,
          logId: idAt(3549),
          type: 'slo',
        },
        {
          userId: 'google-oauth2|pia',
          at: NOON + 7000,
          allSessionsAt: NOON + 7000,
          logId: idAt(7000),
          type: 'universal_logout_succeeded',
        },
      ],
      sessions: [
        {
          sessionId: 'session-of-no-user',
          userId: null,
          at: NOON + 4000,
          ended: true,
          logId: idAt(5000),
          type: 'slo',
        },
        {
          sessionId: 'session-of-omar',
          userId: 'email|omar',
          at: NOON + 1000,
          ended: true,
          logId: idAt(4000),
          type: 'slo',
        },
        {
          sessionId: 'session-of-the-laptop',
          userId: 'auth0|nia',
          at: NOON + 100,
          ended: true,
          logId: idAt(3400),
          type: 'slo',
        },
      ],
    })
    // The entry with `null` instead of absent fields.
    await expect(store.count()).resolves.toMatchObject({ unattributable: { no_subject: 1 } })
    await expect(store.readProgress()).resolves.toMatchObject({ checkpoint: idAt(8000) })
  })
})

describe('recorded traffic', () => {
  // Each case: the SDK whose tests contain the recording, its file, when it was recorded, and its number of entries.
  test.each([
    [
      'ruby-auth0',
      'ruby-auth0_pull_first-page-then-checkpoint_2021-09-03.recording.json',
      '2021-09-03T20:16:32Z',
      50,
    ],
    ['go-auth0', 'go-auth0_pull_checkpoint_2023-03-14.recording.json', '2023-03-14T14:48:00Z', 5],
  ])(
    'a poll reads the log of the recording of %s in the order of log ids and to its end, and finds no logout (pitfall 1)',
    async (_sdk, file, recordedAt, entryCount) => {
      const calls = readRecording(`test/fixtures/auth0-recordings/${file}`)
      const entries = await pollLog(Date.parse(recordedAt), (tenant) =>
        loadRecording(tenant, calls),
      )
      expect(entries).toBe(entryCount)
      const logIds = calls.flatMap(({ response }) =>
        (response.body as { log_id: string }[]).map(({ log_id }) => log_id),
      )
      await expect(store.readProgress()).resolves.toMatchObject({
        checkpoint: logIds.sort().at(-1),
      })
      expect(await readRows(database)).toEqual({ users: [], sessions: [] })
      await expect(store.count()).resolves.toMatchObject({ unattributable: {} })
    },
  )
})
