import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readActionFile } from '../../src/auth0/actions/code.js'
import type { LastLogoutClient } from '../../src/client/index.js'
import { withClient } from '../../src/pg/client.js'
import { toDateTime } from '../../src/rules/instant.js'
import { buildEntry } from '../../src/simulator/entries.js'
import { openClient } from '../_support/client.js'
import { parseExposition } from '../_support/exposition.js'
import { loadActionWithLog } from '../_support/run-action.js'
import { KEY, METRICS_KEY } from '../_support/served-api.js'
import { WAIT } from '../_support/wait.js'
import { readValue } from '../metrics/running.js'
import { listedAsWorking } from './compatibility.js'
import { SERVERS, type ServerWithSettings } from './servers.js'
import { FLOOR, LOGOUTS, MAX_REFRESH_AGE_MS, openSystem, type System } from './system.js'

/*
 * The text of a time in PostgreSQL depends on the time zone and the DateStyle of the session. These tests repeat the
 * same checks on servers with different settings: the API, the client, the commands and the metrics must always report
 * the instants that Auth0's log contains. docs/compatibility.md lists each server of these tests (`listedAsWorking`).
 */

const SECOND_MS = 1_000
const HOUR_MS = 3_600_000

/**
 * Logins around a logout: their times in milliseconds after the logout (negative: before it), and whether the logout
 * revokes their tokens. A wrong time zone would shift an instant by hours.
 */
const LOGINS = [
  [-12 * HOUR_MS, true],
  [-1 * HOUR_MS, true],
  [-1 * SECOND_MS, true],
  [0, true],
  [1 * SECOND_MS, false],
  [1 * HOUR_MS, false],
  [12 * HOUR_MS, false],
] as const

/** One token for each user and each login, and the expected verdict about this token. */
const TOKENS = Object.values(LOGOUTS).flatMap(({ userId, at }) =>
  LOGINS.map(([msAfterLogout, revoked]) => ({
    claims: { sub: userId, iat: Math.floor((at + msAfterLogout) / SECOND_MS) },
    expectedVerdict: { msAfterLogout, revoked, lastLogoutAt: at },
  })),
)

for (const [name, { settings, open }] of SERVERS) {
  describe(
    `on a server with ${name}`,
    listedAsWorking('PostgreSQL', `session settings: ${name}`),
    () => {
      let server: ServerWithSettings
      let system: System
      beforeAll(async () => {
        server = await open(settings)
        system = await openSystem({ ...server.env })
      })
      afterAll(async () => {
        await system?.close()
        await server?.close()
      })

      /** Whether an RFC 3339 time is between the start of `system` and now. */
      const isRecent = (instant: unknown) => {
        const at = typeof instant === 'string' ? Date.parse(instant) : Number.NaN
        // `as_of` is the Date header of a response, which contains only whole seconds.
        return at >= system.startedAt - SECOND_MS && at <= Date.now()
      }
      /** Expects that the data is fresh: `as_of`, up to which the log has been read, and its age `lag_ms`. */
      const expectFresh = (body: Record<string, unknown>) => {
        expect(body.as_of).toSatisfy(isRecent)
        expect(body.lag_ms).toBeGreaterThanOrEqual(0)
        expect(body.lag_ms).toBeLessThan(60 * SECOND_MS)
      }
      /** Runs `use` with a client that has loaded all logouts from the change feed. */
      const withFeedClient = async (use: (client: LastLogoutClient) => Promise<void>) => {
        const client = openClient(system.url, { maxRefreshAgeMs: MAX_REFRESH_AGE_MS })
        try {
          await client.ready()
          await use(client)
        } finally {
          await client.close()
        }
      }

      test(`new sessions on a server with ${name} have these settings`, async () => {
        // `server.env` contains the URL of the database, and with a pooler also the direct URL.
        for (const url of Object.values(server.env)) {
          const sessionSettings = await withClient(url, async (client) => {
            const { rows } = await client.query(
              `SELECT current_setting('timezone') AS timezone, current_setting('datestyle') AS datestyle`,
            )
            return rows[0]
          })
          expect(sessionSettings).toMatchObject(settings)
        }
      })

      test('the first read of a log with two logouts succeeds, with at most 60 requests', () => {
        expect(system.failure).toBeNull()
        expect(system.logRequests()).toBeLessThanOrEqual(60)
      })

      test.each(Object.entries(LOGOUTS))(
        'the read API returns the time of the %s logout to the millisecond',
        async (_season, logout) => {
          const { userId, sessionId, at } = logout
          const query = new URLSearchParams({ user_id: userId, session_id: sessionId ?? 'other' })
          const { body } = await system.request(`/v1/last-logout?${query}`)
          expect(body).toMatchObject({
            user_id: userId,
            last_logout_at: toDateTime(at),
            last_logout: at / SECOND_MS,
            // A logout without a session ends all sessions.
            all_sessions_at: sessionId === undefined ? toDateTime(at) : null,
            session: { logout_at: sessionId === undefined ? null : toDateTime(at) },
            complete: true,
          })
          expectFresh(body)
        },
      )

      test('POST /v1/check reports the tokens from before the logout as revoked, and no others', async () => {
        const verdicts = await Promise.all(
          TOKENS.map(async ({ claims, expectedVerdict: { msAfterLogout } }) => {
            const { body } = await system.request('/v1/check', { claims })
            expect(body.as_of).toSatisfy(isRecent)
            return {
              msAfterLogout,
              revoked: body.revoked,
              lastLogoutAt: Date.parse(`${body.last_logout_at}`),
            }
          }),
        )
        expect(verdicts).toEqual(TOKENS.map(({ expectedVerdict }) => expectedVerdict))
      })

      test('a client that reads the feed treats the tokens from before the logout as revoked, and no others', () =>
        withFeedClient(async (client) => {
          const verdicts = TOKENS.map(({ claims, expectedVerdict: { msAfterLogout } }) => {
            const { revoked, lastLogoutAt, asOf } = client.checkNow(claims)
            expect(toDateTime(asOf)).toSatisfy(isRecent)
            return { msAfterLogout, revoked, lastLogoutAt }
          })
          expect(verdicts).toEqual(TOKENS.map(({ expectedVerdict }) => expectedVerdict))
        }))

      test('a client that sends a request for each check treats the tokens from before the logout as revoked, and no others', async () => {
        const client = openClient(system.url, { lookup: 'request' })
        const decisions = await Promise.all(TOKENS.map(({ claims }) => client.check(claims)))
        await client.close()
        const verdicts = decisions.map(({ revoked, lastLogoutAt }) => ({ revoked, lastLogoutAt }))
        expect(verdicts).toEqual(
          TOKENS.map(({ expectedVerdict: { revoked, lastLogoutAt } }) => ({
            revoked,
            lastLogoutAt,
          })),
        )
      })

      test('the change feed contains the logouts and a fresh as_of', async () => {
        const { body } = await system.request('/v1/changes')
        const changes = body.changes as { kind: string; user_id: string; at: string }[]
        const logoutsOfFeed = changes
          .filter(({ kind }) => kind === 'user')
          .map(({ user_id, at }) => ({ userId: user_id, at: Date.parse(at) }))
        const logouts = Object.values(LOGOUTS).map(({ userId, at }) => ({ userId, at }))
        expect(new Set(logoutsOfFeed)).toEqual(new Set(logouts))
        expectFresh(body)
        expect((await fetch(`${system.url}/health/fresh`)).status).toBe(200)
      })

      test('the login Action denies exchanges of logins that are not after the logout, and no others', async () => {
        const runAction = loadActionWithLog(await readActionFile())
        const exchange = (loginAt: number) =>
          runAction({
            user: { user_id: LOGOUTS.winter.userId },
            client: { client_id: 'app' },
            request: {},
            transaction: { protocol: 'oauth2-refresh-token' },
            authentication: {
              methods: [{ name: 'pwd', timestamp: new Date(loginAt).toISOString() }],
            },
            secrets: { LAST_LOGOUT_URL: system.url, LAST_LOGOUT_API_KEY: KEY },
          })
        const areDenied: boolean[] = []
        for (const [msAfterLogout] of LOGINS) {
          areDenied.push((await exchange(LOGOUTS.winter.at + msAfterLogout)).denied !== null)
        }
        expect(areDenied).toEqual(LOGINS.map(([, revoked]) => revoked))
      })

      test('the API and the feed return a reported logout at once, with its instant', () =>
        withFeedClient(async (client) => {
          const sub = 'auth0|reported'
          const at = Date.now() - HOUR_MS
          const { body } = await system.request('/v1/logouts', { user_id: sub, at: toDateTime(at) })
          expect(body).toMatchObject({
            last_logout_at: toDateTime(at),
            all_sessions_at: toDateTime(at),
          })
          expectFresh(body)
          const claimsOf = (msAfterLogout: number) => ({
            sub,
            iat: Math.floor((at + msAfterLogout) / SECOND_MS),
          })
          await expect.poll(() => client.checkNow(claimsOf(-SECOND_MS)).revoked, WAIT).toBe(true)
          expect(client.checkNow(claimsOf(SECOND_MS))).toMatchObject({
            revoked: false,
            lastLogoutAt: at,
          })
        }))

      test('a worker reads a new logout, and stores the time of the logout', async () => {
        await system.service.startWorker()
        const userId = 'auth0|later'
        const at = Date.now()
        system.tenant.write(buildEntry('slo', { userId, sessionId: 'later' }), { dateMs: at })
        const readLogoutTime = async () => {
          const { body } = await system.request(
            `/v1/last-logout?${new URLSearchParams({ user_id: userId })}`,
          )
          return body.last_logout_at
        }
        await expect.poll(readLogoutTime, WAIT).not.toBeNull()
        expect(await readLogoutTime()).toBe(toDateTime(at))
      })

      test('`floor raise` and `logout` print and store the times in their arguments', async () => {
        const at = Date.now() - HOUR_MS
        const userId = 'auth0|operator'
        expect(await system.run('logout', userId, '--at', `${toDateTime(at)}`)).toContain(
          `${toDateTime(at)}`,
        )
        expect(await system.run('floor', 'raise', `${toDateTime(FLOOR)}`)).toContain(
          `${toDateTime(FLOOR)}`,
        )
        const check = async (sub: string, loginAt: number) => {
          const claims = { sub, iat: loginAt / SECOND_MS }
          return (await system.request('/v1/check', { claims })).body
        }
        /** Returns the first whole second after an instant, because `iat` has whole seconds. */
        const secondAfter = (instant: number) =>
          Math.floor(instant / SECOND_MS) * SECOND_MS + SECOND_MS
        expect(await check(userId, at - SECOND_MS)).toMatchObject({
          revoked: true,
          last_logout_at: toDateTime(at),
        })
        expect(await check(userId, secondAfter(at))).toMatchObject({ revoked: false })
        // The floor ends the tokens of all users whose login is not after it.
        const floorVerdict = { revoked: true, reason: 'floor', last_logout_at: toDateTime(FLOOR) }
        expect(await check('auth0|unknown', FLOOR - SECOND_MS)).toMatchObject(floorVerdict)
        expect(await check('auth0|unknown', secondAfter(FLOOR))).toMatchObject({ revoked: false })
      })

      test('`status`, `doctor` and the metrics report the stored times of polls, the floor and a gap', async () => {
        // A gap is a span of the log that Auth0 deleted before it was read. `doctor` reports it as ok, because the floor,
        // which the previous test has raised, is after the gap and ends all tokens that the gap concerns.
        const gap = { from: FLOOR - HOUR_MS, to: FLOOR - SECOND_MS, reason: 'retention' } as const
        const raisesFloor = false
        await system.service.store.storeGap(gap, raisesFloor)

        const status = JSON.parse(await system.run('status', '--json'))
        expectFresh(status)
        expect(status.last_poll_at).toSatisfy(isRecent)
        expect(status.reconciled_at).toSatisfy(isRecent)
        expect(status.floor_at).toBe(toDateTime(FLOOR))
        expect(status.gap_list).toMatchObject([
          { from: toDateTime(gap.from), to: toDateTime(gap.to) },
        ])
        expect(status.gap_list[0].detected_at).toSatisfy(isRecent)

        const doctor = await system.run('doctor')
        expect(doctor).toMatch(/^ok +worker/m)
        expect(doctor).toMatch(/^ok +freshness/m)
        expect(doctor).toMatch(new RegExp(`^ok +gaps .*${toDateTime(gap.to)}`, 'm'))

        const headers = { authorization: `Bearer ${METRICS_KEY}` }
        const scrape = await fetch(`${system.url}/metrics`, { headers })
        const families = parseExposition(await scrape.text())
        const readMetric = (name: string) => readValue(families, `last_logout_${name}`)
        for (const name of ['freshness_lag', 'last_poll_age', 'last_reconcile_age']) {
          expect(readMetric(`${name}_seconds`), name).toBeLessThan(60)
        }
        expect(readMetric('newest_gap_end_timestamp_seconds')).toBe(gap.to / SECOND_MS)
        expect(readMetric('newest_gap_duration_seconds')).toBe((gap.to - gap.from) / SECOND_MS)
        const detectedAt = (readMetric('newest_gap_detected_timestamp_seconds') ?? 0) * SECOND_MS
        expect(toDateTime(detectedAt)).toSatisfy(isRecent)
      })
    },
  )
}
