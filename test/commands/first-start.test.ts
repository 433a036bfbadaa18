import { afterAll, beforeAll, expect, test } from 'vitest'
import { buildEntry } from '../../src/simulator/entries.js'
import { finishCommandLine } from '../_support/command-line.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { expectPasteable, PROGRAM } from '../_support/printed.js'
import { openTenant, type TestTenant, tenantEnv } from '../_support/tenant.js'

/*
 * What a newcomer sees of the gap of a first start, on a tenant that retains its log for a day: less than
 * MAX_REFRESH_AGE, as on most plans. `today` is what version 0.1.0 printed.
 */

const HOUR = 3_600_000
const DAY = 24 * HOUR

let t: TestTenant
let database: TestDatabase
let log: string
beforeAll(async () => {
  ;[t, database] = await Promise.all([openTenant({ retentionMs: DAY }), createTestDatabase()])
  for (let hours = 30; hours > 0; hours -= 3) {
    const entry = buildEntry('slo', { userId: `auth0|${hours}`, sessionId: `S${hours}` })
    t.tenant.write(entry, { dateMs: Date.now() - hours * HOUR })
  }
  const synced = await start(['sync'])
  expect(synced.code).toBe(0)
  log = synced.printed
})
afterAll(() => Promise.all([t.close(), database.drop()]))

const isComplete = async (over: Record<string, string> = {}) => {
  const token = `e30.${Buffer.from('{"sub":"auth0|1","iat":1}').toString('base64url')}.c2ln`
  return JSON.parse((await start(['explain', token, '--json'], over)).printed).complete
}
const readGap = async () =>
  JSON.parse((await start(['status', '--json'])).printed).gap_list[0] as { to: string }
const after = (instant: string, ms: number) => new Date(Date.parse(instant) + ms).toISOString()

test('is information, not a warning (today: a warning at level 40)', async () => {
  const line = JSON.parse(log.split('\n').find((each) => each.includes('gap detected')) ?? '')
  const { to } = await readGap()
  expect(line).toMatchObject({ level: 30, reason: 'cold_start', to })
  expect(line.advice).toMatch(/^expected at a first start: .* Nothing has to be done; /)
  expect(line.advice).toContain(`can concern tokens until ${after(to, 31 * DAY)}`)
  expect(line.advice).toContain(`\`npx last-logout floor raise ${to}\``)
  // With tokens of 24 hours, the floor ends nothing that outlives a day.
  expect(line.advice).toContain(`only access tokens that expire by ${after(to, DAY)} anyway`)
  await expectPasteable(log)
})

test('status shows the gap as open, until when, and what closing it costs (today: only its span)', async () => {
  const { printed } = await start(['status'])
  const { to } = await readGap()
  expect(printed).toMatch(/^gaps +1\n {2}not read .*, deleted before the first start\n/m)
  expect(printed).toContain(
    `open: its logouts are unknown, and can concern tokens until ${after(to, 31 * DAY)}`,
  )
  expect(printed).toMatch(
    /^ {4}advice +expected at a first start: .*floor raise .*must log in again/m,
  )
  await expectPasteable(printed)
  expect(await isComplete()).toBe(false)
})

test('doctor reports the gap without a warning (today: a warning that never ends)', async () => {
  const { printed } = await start(['doctor'])
  expect(printed).toMatch(/^ok +gaps +1 in the log, .*; open: .*expected at a first start: /m)
  await expectPasteable(printed)
})

test('the gap ends in status, doctor and complete when no token can be concerned (today: in complete only)', async () => {
  // The tokens of a tenant with these lifetimes have expired.
  const over = { MAX_REFRESH_AGE: '1h', MAX_TOKEN_AGE: '1h' }
  expect((await start(['status'], over)).printed).toMatch(/state +over: every token .* has expired/)
  expect((await start(['status'], over)).printed).not.toContain('floor raise')
  expect((await start(['doctor'], over)).printed).toMatch(/^ok +gaps +1 .*; over: /m)
  expect(await isComplete(over)).toBe(true)
  expect(await isComplete({ MAX_REFRESH_AGE: '22h', MAX_TOKEN_AGE: '3h' })).toBe(false)
})

test('a gap below the floor is closed in all of them (today: status shows no difference)', async () => {
  const { to } = await readGap()
  await start(['floor', 'raise', after(to, -1)])
  expect((await start(['status'])).printed).toContain('open: ')
  expect(await isComplete()).toBe(false)
  expect((await start(['floor', 'raise', to])).code).toBe(0)
  expect((await start(['status'])).printed).toMatch(/state +closed: the floor rejects every token/)
  expect((await start(['doctor'])).printed).toMatch(/^ok +gaps +1 .*; closed: /m)
  expect(await isComplete()).toBe(true)
})

async function start(args: string[], over: Record<string, string> = {}) {
  const env = { ...tenantEnv(t.simulator), DATABASE_URL: database.url, ...over }
  const context = { programName: PROGRAM }
  const { code, stdout, stderr } = await finishCommandLine(args, env, { context })
  return { code, printed: stdout + stderr }
}
