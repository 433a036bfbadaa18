import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { buildEntry } from '../../src/simulator/entries.js'
import * as faults from '../../src/simulator/faults.js'
import { subscribeToFeed } from '../_support/events.js'
import { METRICS_KEY } from '../_support/served-api.js'
import {
  CALLER_KEY,
  type MeasuredService,
  openMeasuredService,
  POLLING,
  readValue,
  scrape,
} from './running.js'

const HOUR_MS = 3_600_000

let measured: MeasuredService
let url: string
beforeEach(async () => {
  measured = await openMeasuredService()
  url = await measured.service.startApi()
})
afterEach(() => measured.close())

const sync = () => measured.service.sync(new AbortController().signal)
const readMetric = async (name: string, labels: Record<string, string> = {}) =>
  readValue((await scrape(url)).families, name, labels)
/** Requests a path of the API. An empty `authorization` omits the header. */
const get = (path: string, authorization = `Bearer ${CALLER_KEY}`) =>
  fetch(url + path, { headers: authorization === '' ? {} : { authorization } })

describe('freshness', () => {
  test('freshness is reported as an age, and is absent until the log has been read to its end once (pitfalls 6, 31)', async () => {
    const { families } = await scrape(url)
    expect(readValue(families, 'last_logout_database_up')).toBe(1)
    expect(readValue(families, 'last_logout_freshness_lag_seconds')).toBe(undefined)
    expect(readValue(families, 'last_logout_last_poll_age_seconds')).toBe(undefined)
    expect(readValue(families, 'last_logout_last_reconcile_age_seconds')).toBe(undefined)
    measured.testTenant.tenant.write(buildEntry('slo', { userId: 'auth0|1' }), {
      dateMs: Date.now() - 5_000,
    })
    await sync()
    expect(await readMetric('last_logout_freshness_lag_seconds')).toBeLessThan(10)
    expect(await readMetric('last_logout_last_poll_age_seconds')).toBeLessThan(10)
    expect(await readMetric('last_logout_last_reconcile_age_seconds')).toBeLessThan(10)
  })

  test('the freshness lag grows while no worker polls, even in a process that only serves the API (pitfall 6)', async () => {
    await sync()
    const hourAgo = "now() - interval '1 hour'"
    await measured.database.query(`UPDATE tenant SET as_of = ${hourAgo}, last_poll_at = ${hourAgo}`)
    for (const name of ['freshness_lag', 'last_poll_age']) {
      expect(await readMetric(`last_logout_${name}_seconds`)).toBeGreaterThan(3_599)
    }
  })
})

test('the freshness lag is negative while as_of is ahead of the clock of the database, because no lag would hide the outage', async () => {
  await sync()
  await measured.database.query("UPDATE tenant SET as_of = now() + interval '5 minutes'")
  expect((await fetch(`${url}/health/fresh`)).status).toBe(503)
  const lag = await readMetric('last_logout_freshness_lag_seconds')
  expect(lag).toBeGreaterThan(-301)
  expect(lag).toBeLessThan(-280)
  // Up to a minute ahead counts as fresh.
  await measured.database.query("UPDATE tenant SET as_of = now() + interval '50 seconds'")
  expect((await fetch(`${url}/health/fresh`)).status).toBe(200)
  expect(await readMetric('last_logout_freshness_lag_seconds')).toBe(0)
})

/** The parts of the lag: until Auth0 stored the event, until the request of the poll, and until the commit. */
describe('the lag of an event', () => {
  const readLag = async (part: string) => ({
    count: await readMetric('last_logout_event_lag_seconds_count', { part }),
    sum: (await readMetric('last_logout_event_lag_seconds_sum', { part })) ?? Number.NaN,
  })

  test('the lag is measured in three parts, for all events except those of the first sync', async () => {
    const { tenant } = measured.testTenant
    const dateMs = Date.now() - 10_000
    tenant.write(buildEntry('slo', { userId: 'auth0|before' }), { dateMs })
    await sync()
    expect((await readLag('auth0')).count).toBe(0)
    tenant.write(buildEntry('slo', { userId: 'auth0|after' }), { dateMs: Date.now() - 6_000 })
    await sync()
    const [auth0, poll, write] = await Promise.all(['auth0', 'poll', 'write'].map(readLag))
    expect([auth0, poll, write].map((part) => part?.count)).toEqual([1, 1, 1])
    // The tenant stores an entry 1.5 s after its date. The request follows at least 4.5 s after the storage.
    expect(auth0?.sum).toBeCloseTo(1.5, 1)
    // But the time of the request is up to a second too early, because Auth0's clock is read from an HTTP header with
    // whole seconds.
    expect(poll?.sum).toBeGreaterThan(3.4)
    expect(poll?.sum).toBeLessThan(15)
    expect(write?.sum).toBeGreaterThan(0)
    expect(write?.sum).toBeLessThan(5)
  })

  test('the lag is measured for events that were late because of an outage, but not for events of a sweep', async () => {
    const { tenant } = measured.testTenant
    tenant.write(buildEntry('slo', { userId: 'auth0|old' }), { dateMs: Date.now() - 2 * HOUR_MS })
    // The first sync is a sweep: it searches the log by time, instead of reading its pages from a checkpoint.
    await sync()
    expect(await readMetric('last_logout_logout_events_total', { stage: 'sweep' })).toBe(1)
    expect((await readLag('poll')).count).toBe(0)
    tenant.write(buildEntry('slo', { userId: 'auth0|late' }), { dateMs: Date.now() - HOUR_MS })
    // A checkpoint of 2020 simulates an outage: the next sync reads the whole log from there.
    await measured.database.query('UPDATE tenant SET checkpoint = $1', [
      `90020200101000000000${'0'.repeat(36)}`,
    ])
    await sync()
    expect((await readLag('poll')).sum).toBeGreaterThan(3_500)
  })
})

test('polls are counted by outcome, with their duration', async () => {
  await sync()
  const { faults: faultQueue } = measured.testTenant.simulator
  faultQueue.push({ path: '/api/v2/logs', times: 9, respond: faults.missingScope() })
  await expect(sync()).rejects.toMatchObject({ code: 'AUTH0_SCOPE' })
  faultQueue.clear()
  await expect(measured.service.sync(AbortSignal.abort())).rejects.toMatchObject({
    code: 'ABORTED',
  })
  // The next sync retries until the lease of 1.5 s has expired. All its attempts count as one reconcile.
  await measured.service.store.acquireLease('another worker', 1_500)
  await sync()
  const { families } = await scrape(url)
  // A sync reconciles the log, so that it counts as this task.
  const task = 'reconcile'
  const polls = (outcome: string) =>
    readValue(families, 'last_logout_polls_total', { task, outcome })
  expect(polls('caught_up')).toBe(2)
  expect(polls('failed')).toBe(1)
  expect(polls('aborted')).toBe(1)
  expect(polls('lease_held')).toBe(0)
  const name = 'last_logout_poll_duration_seconds'
  const labels = { task, outcome: 'caught_up' }
  expect(readValue(families, `${name}_count`, labels)).toBe(2)
  expect(readValue(families, `${name}_sum`, labels)).toBeGreaterThan(1)
  expect(readValue(families, 'last_logout_polls_total', { task: 'poll' })).toBe(0)
})

test('a process exposes no metrics of a task that it does not perform', async () => {
  const metricOfApi = 'last_logout_feed_clients'
  expect(await readMetric(metricOfApi)).toBe(0)
  for (const name of [
    'polls_total',
    'job_failures_total',
    'auth0_requests_total',
    'event_lag_seconds_count',
  ]) {
    expect(await readMetric(`last_logout_${name}`)).toBe(undefined)
  }
  const worker = await measured.openSecondService()
  try {
    const monitor = await worker.startMonitor(0)
    await worker.startWorker()
    const { families } = await scrape(monitor)
    expect(readValue(families, 'last_logout_polls_total', { task: 'poll' })).not.toBe(undefined)
    expect(readValue(families, metricOfApi)).toBe(undefined)
    expect([...families.keys()].filter((name) => /http_request|failed_auth/.test(name))).toEqual([])
  } finally {
    await worker.close()
  }
})

test('a worker reports the first run of each job that hangs as an increase: its counters begin with 0', async () => {
  await measured.service.startWorker()
  const { families } = await scrape(url)
  for (const task of ['poll', 'reconcile', 'prune']) {
    for (const code of ['STALLED', 'ABANDONED']) {
      const failures = readValue(families, 'last_logout_job_failures_total', { task, code })
      expect(failures, `${task} ${code}`).toBe(0)
    }
  }
})

test('requests to Auth0 are counted by status, and the metrics contain the rate limit and its used share (pitfall 13)', async () => {
  const { faults: faultQueue, requests } = measured.testTenant.simulator
  expect(await readMetric('last_logout_auth0_rate_limit_requests')).toBe(undefined)
  faultQueue.push({
    path: '/api/v2/logs',
    respond: faults.rateLimited({ 'x-ratelimit-limit': '100', 'retry-after': '1' }),
  })
  faultQueue.push({ path: '/api/v2/logs', respond: faults.connectionReset() })
  await sync()
  // The used share is measured only after a response has contained the rate limit, so a second sync is needed.
  await sync()
  const { families } = await scrape(url)
  const count = (status: string) =>
    readValue(families, 'last_logout_auth0_requests_total', { status })
  const requestCount = requests.count({ path: '/api/v2/logs' })
  expect(count('429')).toBe(1)
  expect(count('error')).toBe(1)
  expect(count('200')).toBe(requestCount - 2)
  expect(readValue(families, 'last_logout_auth0_wait_seconds_total')).toBeGreaterThan(0.9)
  expect(readValue(families, 'last_logout_auth0_request_duration_seconds_count')).toBe(requestCount)
  // The limit in the last response: by default, the simulated tenant allows 1,000 requests.
  expect(readValue(families, 'last_logout_auth0_rate_limit_requests')).toBe(1000)
  expect(readValue(families, 'last_logout_auth0_rate_remaining_requests')).toBeLessThan(1000)
  expect(readValue(families, 'last_logout_auth0_rate_share_ratio')).toBe(0.5)
  expect(readValue(families, 'last_logout_auth0_budget_used_ratio')).toBeGreaterThan(0)
  expect(readValue(families, 'last_logout_auth0_budget_used_ratio')).toBeLessThan(0.1)
})

test('the numbers of unattributable entries, gaps and reconciled rows are read from the database', async () => {
  const { store } = measured.service
  // A logout without a user and a session is unattributable: it cannot be used.
  measured.testTenant.tenant.write(buildEntry('slo', { userId: '' }), {
    dateMs: Date.now() - 5_000,
  })
  await sync()
  const at = Date.now()
  const reconciledUser = { userId: 'auth0|1', at, allSessionsAt: at, logId: '', type: 'slo' }
  await store.storeReconciled({ users: [reconciledUser], sessions: [], unattributable: [] })
  await store.storeGap({ from: 1_000_000, to: 3_000_000, reason: 'cold_start' }, false)
  await store.storeGap({ from: 4_000_000, to: 9_000_000, reason: 'retention' }, false)
  const { families } = await scrape(url)
  const value = (name: string, labels = {}) => readValue(families, `last_logout_${name}`, labels)
  expect(value('unattributable_entries', { reason: 'no_subject' })).toBe(1)
  expect(value('unattributable_entries', { reason: 'malformed' })).toBe(0)
  expect(value('reconciled_rows_total')).toBe(1)
  expect(value('users')).toBe(1)
  expect(value('sessions')).toBe(0)
  expect(
    ['retention', 'empty_log', 'cold_start'].map((reason) => value('gaps', { reason })),
  ).toEqual([1, 0, 1])
  // The durations and instants of the metrics are seconds; those of the stored gaps are milliseconds.
  const newestGap = (name: string, reason: string) =>
    value(`newest_gap_${name}_seconds`, { reason })
  expect(newestGap('duration', 'retention')).toBe(5_000)
  expect(newestGap('end_timestamp', 'retention')).toBe(9_000)
  expect(newestGap('detected_timestamp', 'retention')).toBeGreaterThan(at / 1000 - 5)
  expect(newestGap('duration', 'cold_start')).toBe(2_000)
  expect(newestGap('duration', 'empty_log')).toBe(undefined)
})

test('the newest gap is the gap that was detected or extended last, even if another gap ends later', async () => {
  const { store } = measured.service
  const reason = 'retention'
  const olderGap = { from: 1_000_000, to: 3_000_000, reason } as const
  await store.storeGap({ from: 4_000_000, to: 9_000_000, reason }, false)
  await store.storeGap(olderGap, false)
  await measured.database.query("UPDATE gap SET detected_at = now() - interval '2 days'")
  const readNewestGapAge = async () =>
    Date.now() / 1000 -
    ((await readMetric('last_logout_newest_gap_detected_timestamp_seconds', { reason })) ?? 0)
  expect(await readNewestGapAge()).toBeGreaterThan(86_400)
  await store.storeGap({ ...olderGap, to: 3_500_000 }, false)
  expect(await readNewestGapAge()).toBeLessThan(60)
  expect(await readMetric('last_logout_newest_gap_end_timestamp_seconds', { reason })).toBe(3_500)
})

describe('callers', () => {
  test('requests are measured by route, never by URL', async () => {
    await get('/v1/users/auth0%7Csome-user/last-logout')
    await get('/v1/users/auth0%7Cother-user/last-logout')
    const familiesBefore = (await scrape(url)).families
    // Each segment contains characters that must be escaped in the text of the metrics.
    for (let i = 0; i < 300; i++) {
      const segment = `hostile-${i}"\\\n{}`
      await get(`/v1/users/${encodeURIComponent(segment)}/last-logout`)
      await get(
        `/${encodeURIComponent(segment)}/${i}?q=${i}`,
        i % 2 ? '' : `Bearer ${segment.slice(0, 9)}`,
      )
      await fetch(`${url}/x${i}`, { method: ['PROPFIND', 'MKCOL', 'DELETE'][i % 3] ?? 'GET' })
    }
    const { text, families } = await scrape(url)
    const name = 'last_logout_http_request_duration_seconds'
    const route = '/v1/users/:user_id/last-logout'
    // 2 requests for ordinary users, and 300 for hostile ones.
    expect(readValue(families, `${name}_count`, { route, method: 'GET', status: '200' })).toBe(302)
    expect(text).not.toMatch(/hostile|some-user|other-user|PROPFIND/)
    const routesOf = (scraped: typeof families) =>
      new Set(
        scraped
          .get(name)
          ?.samples.map(({ labels }) => `${labels.method} ${labels.route} ${labels.status}`),
      )
    // The new routes are the route of the scrape, and the route of rejected requests to unknown paths.
    expect(routesOf(families).size - routesOf(familiesBefore).size).toBeLessThan(5)
  })

  test('rejected callers are counted by reason', async () => {
    await get('/v1/changes', '')
    await get('/v1/changes', 'Bearer another-key-of-more-than-32-characters')
    await get('/v1/changes', `Bearer ${METRICS_KEY}`)
    await get('/no-such-path', '')
    const { families } = await scrape(url)
    // An unknown path also requires a key, so that two requests lack one.
    const count = (reason: string) =>
      readValue(families, 'last_logout_failed_authentications_total', { reason })
    expect({ no_key: count('no_key'), unknown_key: count('unknown_key') }).toEqual({
      no_key: 2,
      unknown_key: 1,
    })
    expect(count('lacks_role')).toBe(1)
  })

  test('subscribers of the change feed are counted until they disconnect', async () => {
    await sync()
    expect(await readMetric('last_logout_feed_clients')).toBe(0)
    const headers = { authorization: `Bearer ${CALLER_KEY}` }
    const [first, second] = await Promise.all([
      subscribeToFeed(url, '', headers),
      subscribeToFeed(url, '', headers),
    ])
    expect(await readMetric('last_logout_feed_clients')).toBe(2)
    await first.close()
    await expect.poll(() => readMetric('last_logout_feed_clients'), POLLING).toBe(1)
    await second.close()
    await expect.poll(() => readMetric('last_logout_feed_clients'), POLLING).toBe(0)
    // The duration of a stream is not measured as the duration of a request.
    const name = 'last_logout_http_request_duration_seconds_count'
    expect(await readMetric(name, { route: '/v1/changes' })).toBe(undefined)
  })

  test('a caller without the role metrics cannot read the metrics', async () => {
    expect((await get('/metrics', '')).status).toBe(401)
    expect((await get('/metrics')).status).toBe(403)
    const response = await get('/metrics', `Bearer ${METRICS_KEY}`)
    expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8')
    const { paths } = (await (await get('/openapi.json')).json()) as {
      paths: Record<string, { get: { responses: { 200: { content: object } } } }>
    }
    expect(Object.keys(paths['/metrics']?.get.responses[200].content ?? {})).toEqual(['text/plain'])
  })
})
