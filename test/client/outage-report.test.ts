import type { ServerResponse } from 'node:http'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { LastLogoutClientError } from '../../src/client/errors.js'
import type { LastLogoutClient } from '../../src/client/index.js'
import type { LastLogoutClientOptions } from '../../src/client/options.js'
import { createOutageReport } from '../../src/client/outage-report.js'
import { openClient } from '../_support/client.js'
import { createClock } from '../_support/clock.js'
import { openFakeServer, responseAbout } from '../_support/fake-server.js'
import {
  eventText,
  freshnessData,
  openScriptedFeed,
  type ScriptedFeed,
} from '../_support/scripted-feed.js'

const MINUTE_MS = 60_000

describe('an outage of the service', () => {
  const unavailable = new LastLogoutClientError('UNAVAILABLE', 'unavailable')
  const unauthorized = new LastLogoutClientError('UNAUTHORIZED', 'unauthorized')
  function open() {
    const errors: unknown[] = []
    const clock = createClock()
    const report = createOutageReport((error) => void errors.push(error), { wall: clock.now })
    return { errors, clock, report }
  }

  test('an outage of any duration is reported once for each kind of failure', () => {
    const { errors, clock, report } = open()
    for (let n = 0; n < 100; n++) {
      report.recordFailure(unavailable)
      if (n > 50) report.recordFailure(unauthorized)
      clock.pass(MINUTE_MS)
    }
    expect(errors).toEqual([unavailable, unauthorized])
  })

  test('an outage ends when no failure has occurred for a minute after a success', () => {
    const { errors, clock, report } = open()
    report.recordFailure(unavailable)
    report.recordSuccess()
    clock.pass(MINUTE_MS - 1)
    report.recordSuccess()
    report.recordFailure(unavailable)
    expect(errors).toHaveLength(1)
    report.recordSuccess()
    clock.pass(MINUTE_MS)
    report.recordFailure(unavailable)
    expect(errors).toHaveLength(2)
  })
})

describe('onError', () => {
  let feed: ScriptedFeed | undefined
  let client: LastLogoutClient | undefined
  let errors: LastLogoutClientError[]
  beforeEach(() => {
    errors = []
  })
  afterEach(async () => {
    await client?.close()
    await feed?.close()
  })
  const open = (url: string, options: Partial<LastLogoutClientOptions> = {}) => {
    const onError = (error: unknown) => void errors.push(error as LastLogoutClientError)
    client = openClient(url, { onError, ...options })
    return client
  }
  const claimsOf = (sub: string) => ({ sub, iat: Math.floor(Date.now() / 1000) - 60 })

  test('onError is called once while connections fail', async () => {
    let connectionCount = 0
    feed = await openScriptedFeed((response) => {
      connectionCount++
      response.destroy()
    })
    open(feed.url)
    await expect.poll(() => connectionCount, { timeout: 10_000 }).toBe(4)
    expect(errors).toMatchObject([{ code: 'UNAVAILABLE' }])
  })

  test('onError is called once while lookups fail', async () => {
    const service = await openFakeServer(() => [500, ''])
    open(service.url, { lookup: 'request' })
    for (let n = 0; n < 5; n++) await client?.check(claimsOf(`auth0|${n}`))
    expect(service.requestedUrls).toHaveLength(5)
    expect(errors).toMatchObject([{ code: 'UNAVAILABLE' }])
  })

  const STALE_LAG_MS = 400_000
  /** Sends a freshness event whose data is older than the default of `maxStalenessMs`, 300 s. */
  const sendStale = (fields: object) => (response: ServerResponse) =>
    void response.write(
      eventText('freshness', freshnessData(Date.now() - STALE_LAG_MS, fields), 'f.1'),
    )

  test.each([
    ['the worker does not run', { lag_ms: STALE_LAG_MS }, /that a worker is running\.$/],
    [
      'the service has not read the log to its end',
      { as_of: null, lag_ms: null },
      /to its end yet\./,
    ],
    ['as_of is ahead of the clock of the database', { lag_ms: null }, /clock of its database\.$/],
  ])(
    'onError is called once for stale data, and the message names the likely cause: %s',
    async (_case, fields, causeText) => {
      feed = await openScriptedFeed(sendStale(fields))
      const feedClient = open(feed.url)
      await expect.poll(() => feedClient.checkNow(claimsOf('auth0|1')).reason).toBe('stale')
      for (let n = 0; n < 5; n++) feedClient.checkNow(claimsOf('auth0|1'))
      expect(errors).toMatchObject([{ code: 'STALE', message: expect.stringMatching(causeText) }])
    },
  )

  test('onError is called once for a cached response that has become stale', async () => {
    const service = await openFakeServer(() => responseAbout('auth0|1'))
    const options = { lookup: 'request', maxStalenessMs: 50, cacheMs: 60_000 } as const
    const requestClient = open(service.url, options)
    await requestClient.check(claimsOf('auth0|1'))
    await expect.poll(() => requestClient.checkNow(claimsOf('auth0|1')).reason).toBe('stale')
    requestClient.checkNow(claimsOf('auth0|1'))
    expect(errors).toMatchObject([
      { code: 'STALE', message: expect.stringContaining('Set cacheMs lower than maxStalenessMs') },
    ])
  })
})
