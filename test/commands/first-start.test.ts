import { afterAll, beforeAll, expect, test } from 'vitest'
import { buildEntry } from '../../src/simulator/entries.js'
import { finishCommandLine } from '../_support/command-line.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { expectPasteable, PROGRAM } from '../_support/printed.js'
import { openTenant, type TestTenant, tenantEnv } from '../_support/tenant.js'

/*
 * Tests what the commands print about the gap of a first start. A gap is a span of the log that Auth0 deleted before it
 * was read. Here, the tenant retains its log for a day, and tokens live longer (MAX_REFRESH_AGE). So deleted logouts can
 * concern valid tokens. After `0.1.0:`, a title states what version 0.1.0 printed.
 */

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

let auth0: TestTenant
let database: TestDatabase
/** What `sync` printed at the first start. */
let log: string
beforeAll(async () => {
  ;[auth0, database] = await Promise.all([
    openTenant({ retentionMs: DAY_MS }),
    createTestDatabase(),
  ])
  for (let hours = 30; hours > 0; hours -= 3) {
    const entry = buildEntry('slo', { userId: `auth0|${hours}`, sessionId: `S${hours}` })
    auth0.tenant.write(entry, { dateMs: Date.now() - hours * HOUR_MS })
  }
  const synced = await run(['sync'])
  expect(synced.code).toBe(0)
  log = synced.printed
})
afterAll(() => Promise.all([auth0.close(), database.drop()]))

/** Returns whether no gap concerns a token that may still be valid, for a token that was issued in 1970. */
const isComplete = async (variables: Record<string, string> = {}) => {
  const token = `e30.${Buffer.from('{"sub":"auth0|1","iat":1}').toString('base64url')}.c2ln`
  return JSON.parse((await run(['explain', token, '--json'], variables)).printed).complete
}
const readGap = async () =>
  JSON.parse((await run(['status', '--json'])).printed).gap_list[0] as { to: string }
const addMs = (instant: string, ms: number) => new Date(Date.parse(instant) + ms).toISOString()

test('the log line about the gap is information, not a warning (0.1.0: a warning at level 40)', async () => {
  const line = JSON.parse(log.split('\n').find((text) => text.includes('gap detected')) ?? '')
  const { to } = await readGap()
  expect(line).toMatchObject({ level: 30, reason: 'cold_start', to })
  expect(line.advice).toMatch(/^expected at a first start: .* Nothing has to be done; /)
  expect(line.advice).toContain(`can concern tokens until ${addMs(to, 31 * DAY_MS)}`)
  expect(line.advice).toContain(`\`npx last-logout floor raise ${to}\``)
  // The default of MAX_REFRESH_AGE and MAX_TOKEN_AGE together is 31 days.
  // An access token lives for 24 hours, so every access token that the floor revokes expires within a day.
  expect(line.advice).toContain(`only access tokens that expire by ${addMs(to, DAY_MS)} anyway`)
  await expectPasteable(log)
})

test('status shows the open gap, until when it concerns tokens, and what closing it costs (0.1.0: only its span)', async () => {
  const { printed } = await run(['status'])
  const { to } = await readGap()
  expect(printed).toMatch(/^gaps +1\n {2}not read .*, deleted before the first start\n/m)
  expect(printed).toContain(
    `open: its logouts are unknown, and can concern tokens until ${addMs(to, 31 * DAY_MS)}`,
  )
  expect(printed).toMatch(
    /^ {4}advice +expected at a first start: .*floor raise .*must log in again/m,
  )
  await expectPasteable(printed)
  expect(await isComplete()).toBe(false)
})

test('doctor reports the gap without a warning (0.1.0: a warning that never ends)', async () => {
  const { printed } = await run(['doctor'])
  expect(printed).toMatch(/^ok +gaps +1 in the log, .*; open: .*expected at a first start: /m)
  await expectPasteable(printed)
})

test('status, doctor and the field complete show that the gap is over when all concerned tokens have expired (0.1.0: only complete)', async () => {
  // The tokens of a tenant with these lifetimes have expired.
  const shortLifetimes = { MAX_REFRESH_AGE: '1h', MAX_TOKEN_AGE: '1h' }
  expect((await run(['status'], shortLifetimes)).printed).toMatch(
    /state +over: every token .* has expired/,
  )
  expect((await run(['status'], shortLifetimes)).printed).not.toContain('floor raise')
  expect((await run(['doctor'], shortLifetimes)).printed).toMatch(/^ok +gaps +1 .*; over: /m)
  expect(await isComplete(shortLifetimes)).toBe(true)
  // 22 h and 3 h exceed the retention of 24 h.
  expect(await isComplete({ MAX_REFRESH_AGE: '22h', MAX_TOKEN_AGE: '3h' })).toBe(false)
})

// The floor is an instant: every token whose login is not after it is revoked.
test('status, doctor and the field complete show that a gap before the floor is closed (0.1.0: status shows no difference)', async () => {
  const { to } = await readGap()
  await run(['floor', 'raise', addMs(to, -1)])
  expect((await run(['status'])).printed).toContain('open: ')
  expect(await isComplete()).toBe(false)
  expect((await run(['floor', 'raise', to])).code).toBe(0)
  expect((await run(['status'])).printed).toMatch(/state +closed: the floor rejects every token/)
  expect((await run(['doctor'])).printed).toMatch(/^ok +gaps +1 .*; closed: /m)
  expect(await isComplete()).toBe(true)
})

/** Runs a command. Returns the exit code and everything that the command prints. */
async function run(args: string[], variables: Record<string, string> = {}) {
  const env = { ...tenantEnv(auth0.simulator), DATABASE_URL: database.url, ...variables }
  const context = { programName: PROGRAM }
  const { code, stdout, stderr } = await finishCommandLine(args, env, { context })
  return { code, printed: stdout + stderr }
}
