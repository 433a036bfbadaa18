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
import { worksIn } from './compatibility.js'
import { SERVERS, type ServerWithSettings } from './servers.js'
import { FLOOR, LOGOUTS, MAX_REFRESH_AGE_MS, openSystem, type System } from './system.js'

const SECOND_MS = 1_000
const HOUR_MS = 3_600_000

/** The times of logins, in milliseconds after a logout, and whether the logout revokes their tokens. */
const LOGINS = [
  [-12 * HOUR_MS, true],
  [-1 * HOUR_MS, true],
  [-1 * SECOND_MS, true],
  [0, true],
  [1 * SECOND_MS, false],
  [1 * HOUR_MS, false],
  [12 * HOUR_MS, false],
] as const

/** One token for each user and each login. */
const TOKENS = Object.values(LOGOUTS).flatMap(({ userId, at }) =>
  LOGINS.map(([msAfterLogout, revoked]) => ({
    claims: { sub: userId, iat: Math.floor((at + msAfterLogout) / SECOND_MS) },
    verdict: { msAfterLogout, revoked, lastLogoutAt: at },
  })),
)

for (const [name, { settings, open }] of SERVERS) {
  describe(`on a server with ${name}`, worksIn('PostgreSQL', `session settings: ${name}`), () => {
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

    const isRecent = (instant: unknown) => {
      const at = typeof instant === 'string' ? Date.parse(instant) : Number.NaN
      // `as_of` is the Date header of a response, which contains only whole seconds.
      return at >= system.startedAt - SECOND_MS && at <= Date.now()
    }
    const expectFresh = (body: Record<string, unknown>) => {
      expect(body.as_of).toSatisfy(isRecent)
      expect(body.lag_ms).toBeGreaterThanOrEqual(0)
      expect(body.lag_ms).toBeLessThan(60 * SECOND_MS)
    }
    const withFeed = async (run: (client: LastLogoutClient) => Promise<void>) => {
      const client = openClient(system.url, { maxRefreshAgeMs: MAX_REFRESH_AGE_MS })
      try {
        await client.ready()
        await run(client)
      } finally {
        await client.close()
      }
    }

    test('new sessions of PostgreSQL have these settings', async () => {
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

    test('sync succeeds with at most 60 requests for two logouts', () => {
      expect(system.failure).toBeNull()
      expect(system.logRequests()).toBeLessThanOrEqual(60)
    })

    test.each(Object.entries(LOGOUTS))(
      'the read API returns the %s logout to the millisecond',
      async (_, logout) => {
        const { userId, sessionId, at } = logout
        const query = new URLSearchParams({ user_id: userId, session_id: sessionId ?? 'other' })
        const { body } = await system.request(`/v1/last-logout?${query}`)
        expect(body).toMatchObject({
          user_id: userId,
          last_logout_at: toDateTime(at),
          last_logout: at / 1000,
          all_sessions_at: sessionId === undefined ? toDateTime(at) : null,
          session: { logout_at: sessionId === undefined ? null : toDateTime(at) },
          complete: true,
        })
        expectFresh(body)
      },
    )

    test('POST /v1/check revokes the tokens from before the logout, and no others', async () => {
      const verdicts = await Promise.all(
        TOKENS.map(async ({ claims, verdict: { msAfterLogout } }) => {
          const { body } = await system.request('/v1/check', { claims })
          expect(body.as_of).toSatisfy(isRecent)
          return {
            msAfterLogout,
            revoked: body.revoked,
            lastLogoutAt: Date.parse(`${body.last_logout_at}`),
          }
        }),
      )
      expect(verdicts).toEqual(TOKENS.map(({ verdict }) => verdict))
    })

    test('a client that reads the feed revokes the tokens from before the logout, and no others', () =>
      withFeed(async (client) => {
        const verdicts = TOKENS.map(({ claims, verdict: { msAfterLogout } }) => {
          const { revoked, lastLogoutAt, asOf } = client.checkNow(claims)
          expect(toDateTime(asOf)).toSatisfy(isRecent)
          return { msAfterLogout, revoked, lastLogoutAt }
        })
        expect(verdicts).toEqual(TOKENS.map(({ verdict }) => verdict))
      }))

    test('a client that sends a request for each check revokes the tokens from before the logout, and no others', async () => {
      const client = openClient(system.url, { lookup: 'request' })
      const decisions = await Promise.all(TOKENS.map(({ claims }) => client.check(claims)))
      await client.close()
      const verdicts = decisions.map(({ revoked, lastLogoutAt }) => ({ revoked, lastLogoutAt }))
      expect(verdicts).toEqual(TOKENS.map(({ verdict: { msAfterLogout: _, ...rest } }) => rest))
    })

    test('the change feed contains the logouts and a fresh as_of', async () => {
      const { body } = await system.request('/v1/changes')
      const changes = body.changes as { kind: string; user_id: string; at: string }[]
      const usersOfFeed = changes
        .filter(({ kind }) => kind === 'user')
        .map(({ user_id, at }) => ({ userId: user_id, at: Date.parse(at) }))
      const logouts = Object.values(LOGOUTS).map(({ userId, at }) => ({ userId, at }))
      expect(new Set(usersOfFeed)).toEqual(new Set(logouts))
      expectFresh(body)
      expect((await fetch(`${system.url}/health/fresh`)).status).toBe(200)
    })

    test('the login Action denies an exchange if the login is not after the logout, and no other exchange', async () => {
      const run = loadActionWithLog(await readActionFile())
      const refresh = (loginAt: number) =>
        run({
          user: { user_id: LOGOUTS.winter.userId },
          client: { client_id: 'app' },
          request: {},
          transaction: { protocol: 'oauth2-refresh-token' },
          authentication: {
            methods: [{ name: 'pwd', timestamp: new Date(loginAt).toISOString() }],
          },
          secrets: { LAST_LOGOUT_URL: system.url, LAST_LOGOUT_API_KEY: KEY },
        })
      const isDenied: unknown[] = []
      for (const [msAfterLogout] of LOGINS) {
        isDenied.push((await refresh(LOGOUTS.winter.at + msAfterLogout)).denied !== null)
      }
      expect(isDenied).toEqual(LOGINS.map(([, revoked]) => revoked))
    })

    test('the API and the feed return a reported logout at once, with its instant', () =>
      withFeed(async (client) => {
        const sub = 'auth0|reported'
        const at = Date.now() - HOUR_MS
        const { body } = await system.request('/v1/logouts', { user_id: sub, at: toDateTime(at) })
        expect(body).toMatchObject({
          last_logout_at: toDateTime(at),
          all_sessions_at: toDateTime(at),
        })
        expectFresh(body)
        const token = (msAfterLogout: number) => ({
          sub,
          iat: Math.floor((at + msAfterLogout) / SECOND_MS),
        })
        await expect.poll(() => client.checkNow(token(-SECOND_MS)).revoked, WAIT).toBe(true)
        expect(client.checkNow(token(SECOND_MS))).toMatchObject({
          revoked: false,
          lastLogoutAt: at,
        })
      }))

    test('a worker reads a new logout, and stores its instant', async () => {
      await system.service.startWorker()
      const userId = 'auth0|later'
      const at = Date.now()
      system.tenant.write(buildEntry('slo', { userId, sessionId: 'later' }), { dateMs: at })
      const readAt = async () => {
        const { body } = await system.request(
          `/v1/last-logout?${new URLSearchParams({ user_id: userId })}`,
        )
        return body.last_logout_at
      }
      await expect.poll(readAt, WAIT).not.toBeNull()
      expect(await readAt()).toBe(toDateTime(at))
    })

    test('floor raise and logout print and store the instants of their arguments', async () => {
      const at = Date.now() - HOUR_MS
      const sub = 'auth0|operator'
      expect(await system.run('logout', sub, '--at', `${toDateTime(at)}`)).toContain(
        `${toDateTime(at)}`,
      )
      expect(await system.run('floor', 'raise', `${toDateTime(FLOOR)}`)).toContain(
        `${toDateTime(FLOOR)}`,
      )
      const check = async (sub: string, loginAt: number) => {
        const claims = { sub, iat: loginAt / SECOND_MS }
        return (await system.request('/v1/check', { claims })).body
      }
      const secondAfter = (instant: number) =>
        Math.floor(instant / SECOND_MS) * SECOND_MS + SECOND_MS
      expect(await check(sub, at - SECOND_MS)).toMatchObject({
        revoked: true,
        last_logout_at: toDateTime(at),
      })
      expect(await check(sub, secondAfter(at))).toMatchObject({ revoked: false })
      const floorVerdict = { revoked: true, reason: 'floor', last_logout_at: toDateTime(FLOOR) }
      expect(await check('auth0|unknown', FLOOR - SECOND_MS)).toMatchObject(floorVerdict)
      expect(await check('auth0|unknown', secondAfter(FLOOR))).toMatchObject({ revoked: false })
    })

    test('status, doctor and metrics contain the stored instants', async () => {
      const gap = { from: FLOOR - HOUR_MS, to: FLOOR - SECOND_MS, reason: 'retention' } as const
      await system.service.store.storeGap(gap, false)

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
      const value = (name: string) => readValue(families, `last_logout_${name}`)
      for (const name of ['freshness_lag', 'last_poll_age', 'last_reconcile_age']) {
        expect(value(`${name}_seconds`), name).toBeLessThan(60)
      }
      expect(value('newest_gap_end_timestamp_seconds')).toBe(gap.to / SECOND_MS)
      expect(value('newest_gap_duration_seconds')).toBe((gap.to - gap.from) / SECOND_MS)
      const detectedAt = (value('newest_gap_detected_timestamp_seconds') ?? 0) * SECOND_MS
      expect(toDateTime(detectedAt)).toSatisfy(isRecent)
    })
  })
}
