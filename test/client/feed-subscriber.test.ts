import { createServer, type ServerResponse } from 'node:http'
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { createFeedSubscriber, type SubscriberLimits } from '../../src/client/feed-subscriber.js'
import type { Decision, LastLogoutClient } from '../../src/client/index.js'
import { createLogoutCache } from '../../src/client/logout-cache.js'
import { type LastLogoutClientOptions, readOptions } from '../../src/client/options.js'
import { openClient } from '../_support/client.js'
import { createSettableClocks } from '../_support/client-clocks.js'
import { openLoopback } from '../_support/loopback.js'
import {
  eventText,
  freshnessData,
  openScriptedFeed,
  type ScriptedFeed,
} from '../_support/scripted-feed.js'

const NOW = Date.now()
const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

const LOGOUT_TIME = new Date(NOW - 60_000).toISOString()
/** Returns the data of a change: a user logged out of all sessions a minute ago. */
const logout = (user_id: string) => ({
  kind: 'user',
  user_id,
  at: LOGOUT_TIME,
  all_sessions_at: LOGOUT_TIME,
  type: 'slo',
})
/** Returns the claims of a token that was issued an hour ago. */
const claimsOf = (sub: string) => ({ sub, iat: Math.floor(NOW / 1000) - 3_600 })

let feed: ScriptedFeed
let client: LastLogoutClient
let errors: Error[]
/** The clients and subscribers of a test. */
let openResources: { close(): Promise<void> }[]
beforeEach(() => {
  errors = []
  openResources = []
})
afterEach(async () => {
  await Promise.all(openResources.map((resource) => resource.close()))
  await feed.close()
})

const onError = (error: unknown) => void errors.push(error as Error)

/** Opens a client that subscribes to `feed`. */
function openSubscribedClient(options: Partial<LastLogoutClientOptions> = {}): void {
  client = openClient(feed.url, { onError, ...options })
  openResources.push(client)
}

/** Opens only the part of a client that reads the feed. The test chooses its clocks and limits. */
function subscribe(
  limits: Partial<SubscriberLimits> = {},
  options: Partial<LastLogoutClientOptions> = {},
) {
  const cache = createLogoutCache()
  const settings = readOptions({
    url: feed.url,
    apiKey: 'unused',
    onUnknown: 'deny',
    onError,
    ...options,
  })
  const subscriber = createFeedSubscriber(settings, cache, limits)
  subscriber.start()
  openResources.push(subscriber)
  return { subscriber, cache }
}

// A load is the reading of all logouts from `since` on. A freshness event ends it. Then the feed sends only changes.
// `as_of` is the instant up to which the service has read the log. It goes back when a backup of the database is restored.
describe('a feed subscriber', () => {
  test('a subscriber waits as long as `Retry-After` asks before it connects again', async () => {
    const requestedAtMs: number[] = []
    const server = createServer((_request, response) => {
      requestedAtMs.push(performance.now())
      response.writeHead(503, { 'retry-after': '1' }).end()
    })
    feed = { ...(await openLoopback(server)), queries: [] }
    subscribe()
    await expect.poll(() => requestedAtMs.length, { timeout: 5_000 }).toBe(2)
    const [firstMs = 0, secondMs = 0] = requestedAtMs
    // Timers can be early, so the test allows 100 ms less. Without the header, the delay is 200 ms at most.
    expect(secondMs - firstMs).toBeGreaterThan(900)
  })

  test('a subscriber resumes an interrupted load at the cursor, and then has all logouts in the cache (pitfall 29)', async () => {
    feed = await openScriptedFeed(
      (response) => {
        response.write(eventText('change', logout('auth0|1'), 'f.1'), () => response.destroy())
      },
      (response) => {
        response.write(eventText('change', logout('auth0|2'), 'f.2'))
        response.write(eventText('freshness', freshnessData(NOW), 'f.2'))
      },
    )
    openSubscribedClient()
    await client.ready()
    expect(feed.queries.map((query) => query.get('after'))).toEqual([null, 'f.1'])
    expect(feed.queries[1]?.get('since')).toBe(feed.queries[0]?.get('since'))
    for (const user of ['auth0|1', 'auth0|2']) {
      expect(client.checkNow(claimsOf(user)).outcome).toBe('revoked')
    }
    expect(client.checkNow(claimsOf('auth0|3')).outcome).toBe('accepted')
  })

  test('a subscriber whose clock shows 1970 sends a `since` of 2000, which the service accepts', async () => {
    feed = await openScriptedFeed((response) =>
      response.write(eventText('freshness', freshnessData(NOW), 'f.1')),
    )
    const clocks = createSettableClocks()
    clocks.setWallAhead(-NOW)
    const { subscriber } = subscribe({ clocks })
    await subscriber.ready()
    expect(feed.queries[0]?.get('since')).toBe('2000-01-01T00:00:00.000Z')
  })

  test('`ready` waits until the service has read the log to its end', async () => {
    let respond: ((asOf: string | null) => void) | undefined
    feed = await openScriptedFeed((response) => {
      respond = (as_of) => {
        response.write(eventText('freshness', freshnessData(NOW, { as_of, lag_ms: null }), 'f.1'))
      }
      respond(null)
    })
    const { subscriber } = subscribe()
    let isReady = false
    const ready = subscriber.ready().then(() => {
      isReady = true
    })
    await expect.poll(() => subscriber.freshness()).not.toBeNull()
    respond?.(null)
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(isReady).toBe(false)
    respond?.(new Date(NOW).toISOString())
    await ready
  })

  test('a subscriber begins a new load if the connection breaks after a reset', async () => {
    feed = await openScriptedFeed(
      (response) => {
        response.write(eventText('freshness', freshnessData(NOW), 'f.9'))
        response.write(eventText('reset', {}, ''), () => response.destroy())
      },
      (response) => response.write(eventText('freshness', freshnessData(NOW), 'g.1')),
    )
    openSubscribedClient()
    await expect.poll(() => feed.queries.length).toBe(2)
    expect(feed.queries[1]?.get('after')).toBeNull()
  })

  test('a subscriber loads everything again after `as_of` went back', async () => {
    feed = await openScriptedFeed(
      (response) =>
        response.write(
          eventText('freshness', freshnessData(NOW), 'f.9') +
            eventText('freshness', freshnessData(NOW - 5_000), 'f.4') +
            eventText('freshness', freshnessData(NOW - 4_000), 'f.5'),
        ),
      (response) => response.write(eventText('freshness', freshnessData(NOW - 4_000), 'f.5')),
    )
    const { subscriber } = subscribe({ maxReloadDelayMs: 200 })
    await expect.poll(() => feed.queries.length).toBe(2)
    expect(feed.queries[1]?.get('after')).toBeNull()
    await expect.poll(() => subscriber.freshness()?.asOf).toBe(NOW - 4_000)
  })

  test('a subscriber reports a broken connection, but not a connection that it replaces for a reload', async () => {
    feed = await openScriptedFeed((response) => {
      const send = () => response.write(eventText('freshness', freshnessData(Date.now()), 'f.1'))
      send()
      const timer = setInterval(send, 50)
      response.on('close', () => clearInterval(timer))
    })
    openSubscribedClient({ reloadIntervalMs: 100 })
    await expect.poll(() => feed.queries.length).toBeGreaterThan(3)
    expect(errors).toEqual([])
    await feed.close()
    await expect.poll(() => errors.length).toBeGreaterThan(0)
    expect(errors[0]).toMatchObject({ code: 'UNAVAILABLE' })
    // `afterEach` closes a feed, and this test has already closed its own.
    feed = await openScriptedFeed()
  })
})

test('a check considers a logout that the feed delivers during the request of the check (pitfall 30)', async () => {
  const responses: ServerResponse[] = []
  feed = await openScriptedFeed((response) => {
    responses.push(response)
    if (responses.length === 1) response.write(eventText('freshness', freshnessData(NOW), 'f.1'))
  })
  openSubscribedClient({ timeoutMs: 20_000 })
  await client.ready()
  // The feed contains only the logouts of the last 31 days, so a check of an older token sends a request.
  const oldClaims = { sub: 'auth0|1', iat: Math.floor(NOW / 1000) - 40 * (DAY_MS / 1000) }
  const decision = client.check(oldClaims)
  await expect.poll(() => responses.length).toBe(2)
  const [feedResponse, lookupResponse] = responses
  feedResponse?.write(eventText('change', logout('auth0|1'), 'f.2'))
  await expect.poll(() => client.checkNow(oldClaims).outcome).toBe('revoked')
  const noLogout = { last_logout_at: null, all_sessions_at: null, session: null, floor_at: null }
  lookupResponse?.end(JSON.stringify({ user_id: 'auth0|1', ...freshnessData(NOW), ...noLogout }))
  expect(await decision).toMatchObject({ outcome: 'revoked', reason: 'all_sessions_logout' })
})

describe('a cached logout', () => {
  /** Longer ago than the period of a load, which is 31 days. */
  const longAgo = NOW - 70 * DAY_MS
  /** A logout that happened long ago, and was stored only recently. */
  const lateLogout = {
    ...logout('auth0|1'),
    at: new Date(longAgo).toISOString(),
    all_sessions_at: new Date(longAgo).toISOString(),
  }
  const claimsBeforeLogout = { sub: 'auth0|1', iat: Math.floor(longAgo / 1000) - 60 }

  test('a logout stays cached during reloads if it happened long before it was stored', async () => {
    feed = await openScriptedFeed((response) => {
      response.write(
        eventText('change', lateLogout, 'f.1') + eventText('freshness', freshnessData(NOW), 'f.1'),
      )
    })
    openSubscribedClient({ reloadIntervalMs: 100 })
    await expect.poll(() => feed.queries.length).toBeGreaterThan(2)
    expect(client.checkNow(claimsBeforeLogout).outcome).toBe('revoked')
  })

  test('a cached logout is deleted at the end of a load that has not delivered it', async () => {
    const reloadResponses: ServerResponse[] = []
    feed = await openScriptedFeed(
      (response) => {
        response.write(eventText('change', lateLogout, 'f.1'))
        response.write(eventText('change', logout('auth0|2'), 'f.2'))
        response.write(eventText('freshness', freshnessData(NOW), 'f.2'))
      },
      (response) => {
        reloadResponses.push(response)
        response.write(eventText('change', logout('auth0|2'), 'f.2'))
      },
    )
    openSubscribedClient({ reloadIntervalMs: 100 })
    await expect.poll(() => reloadResponses.length).toBe(1)
    expect(client.checkNow(claimsBeforeLogout).outcome).toBe('revoked')
    reloadResponses[0]?.write(eventText('freshness', freshnessData(NOW + 1), 'f.2'))
    await expect.poll(() => client.checkNow(claimsBeforeLogout).reason).toBe('lookup_needed')
    expect(client.checkNow(claimsOf('auth0|2')).outcome).toBe('revoked')
  })

  test('a logout stays cached until a service with a restored database has read the log again', async () => {
    feed = await openScriptedFeed(
      (response) => {
        response.write(eventText('change', logout('auth0|1'), 'f.1'))
        response.write(eventText('freshness', freshnessData(NOW), 'f.1'))
        response.write(eventText('reset', {}, ''))
        response.write(eventText('freshness', freshnessData(NOW - 5_000), 'f.0'))
      },
      (response) => response.write(eventText('freshness', freshnessData(NOW - 1), 'f.0')),
      (response) => response.write(eventText('freshness', freshnessData(NOW + 1), 'f.0')),
    )
    const { subscriber, cache } = subscribe({ maxReloadDelayMs: 1 }, { reloadIntervalMs: 100 })
    await expect.poll(() => subscriber.freshness()?.asOf).toBe(NOW - 1)
    // Before the restore, the service had read the log up to `NOW`.
    expect(cache.count()).toBe(1)
    await expect.poll(() => subscriber.freshness()?.asOf).toBe(NOW + 1)
    expect(cache.count()).toBe(0)
  })
})

test('ten subscribers do not all load at the same time when `as_of` goes back', async () => {
  const firstResponses: ServerResponse[] = []
  const reloadedAtMs: number[] = []
  feed = await openScriptedFeed((response) => {
    if (firstResponses.length === 10) return void reloadedAtMs.push(performance.now())
    firstResponses.push(response)
    response.write(eventText('freshness', freshnessData(NOW), 'f.9'))
  })
  for (let n = 0; n < 10; n++) subscribe({ maxReloadDelayMs: 1_000 })
  await expect.poll(() => firstResponses.length).toBe(10)
  const wentBackAtMs = performance.now()
  for (const response of firstResponses) {
    response.write(eventText('freshness', freshnessData(NOW - 5_000), 'f.4'))
  }
  await expect.poll(() => reloadedAtMs.length, { timeout: 5_000 }).toBe(10)
  expect(Math.max(...reloadedAtMs) - Math.min(...reloadedAtMs)).toBeGreaterThan(200)
  expect(Math.max(...reloadedAtMs) - wentBackAtMs).toBeLessThan(3_000)
})

test.each([
  [
    'throws',
    () => {
      throw new Error('an error of the app')
    },
  ],
  ['returns a promise that rejects', () => Promise.reject(new Error('an error of the app'))],
])(
  'a callback that %s ends neither a check nor the connection to the feed',
  async (_case, failingCallback) => {
    feed = await openScriptedFeed(
      (response) => response.destroy(),
      // An event that is too long.
      (response) => response.end('x'.repeat(2_000_000)),
      (response) => response.write(eventText('freshness', freshnessData(NOW), 'f.1')),
    )
    let callCount = 0
    const callback = () => {
      callCount++
      return failingCallback()
    }
    openSubscribedClient({ onError: callback, onDecision: callback })
    expect((await client.check(claimsOf('auth0|1'))).reason).toBe('not_loaded')
    expect(client.checkNow(claimsOf('auth0|1')).reason).toBe('not_loaded')
    await client.ready()
    expect(client.checkNow(claimsOf('auth0|1')).outcome).toBe('accepted')
    // The callback is called for two failed connections and for three checks.
    expect(callCount).toBe(5)
  },
)

describe('freshness', () => {
  /** Returns a freshness event. `sentAt` is the time of the service's clock when it sends the event. */
  const freshnessEvent = (lagMs: number, sentAt = Date.now()) =>
    eventText('freshness', freshnessData(sentAt - lagMs, { lag_ms: lagMs }), 'f.1')

  test.each([
    ['an hour ahead of', HOUR_MS],
    ['an hour behind', -HOUR_MS],
  ])(
    'the data is fresh even if the clock of the service is %s the clock of the client',
    async (_case, offsetMs) => {
      feed = await openScriptedFeed((response) => {
        response.write(freshnessEvent(1_000, Date.now() + offsetMs))
      })
      openSubscribedClient({ maxStalenessMs: 20_000 })
      await client.ready()
      expect(client.checkNow(claimsOf('auth0|1')).outcome).toBe('accepted')
    },
  )

  test('if a proxy delays the events, the data is stale, and the client replaces the connection', async () => {
    // `as_of` goes back, so the client will load everything again, after a random part of 10 s: here after half of it,
    // long after the connection was replaced.
    const random = vi.spyOn(Math, 'random').mockReturnValue(0.5)
    onTestFinished(() => random.mockRestore())
    // The service's clock is an hour ahead, so a comparison with the client's clock would show no delay.
    const aheadMs = HOUR_MS
    const responses: ServerResponse[] = []
    feed = await openScriptedFeed((response) => {
      responses.push(response)
      response.write(freshnessEvent(1_000, Date.now() + aheadMs))
      if (responses.length > 1) return
      response.write(eventText('change', logout('auth0|1'), 'f.2'))
      response.write(freshnessEvent(1_000, Date.now() + aheadMs - 60_000))
      response.write(freshnessEvent(1_000, Date.now() + aheadMs - 50_000))
    })
    const decisions: string[] = []
    const onDecision = ({ reason }: Decision) => void decisions.push(reason)
    openSubscribedClient({ maxStalenessMs: 20_000, onDecision })
    await expect.poll(() => client.checkNow(claimsOf('auth0|2')).outcome).toBe('accepted')
    expect(decisions).toContain('stale')
    expect(feed.queries.map((query) => query.get('after'))).toEqual([null, 'f.1'])
    expect(errors).toMatchObject([
      { code: 'UNAVAILABLE', message: expect.stringContaining('60 s late') },
      { code: 'STALE', message: expect.stringContaining('no proxy buffers the change feed') },
    ])
    expect(client.checkNow(claimsOf('auth0|1')).outcome).toBe('revoked')
  })

  test('the client reconnects with growing backoff while the events of each connection are late', async () => {
    const requestedAtMs: number[] = []
    feed = await openScriptedFeed((response) => {
      requestedAtMs.push(performance.now())
      response.write(freshnessEvent(1_000))
      response.write(freshnessEvent(1_000, Date.now() - 60_000))
    })
    openSubscribedClient({ maxStalenessMs: 20_000 })
    await expect.poll(() => requestedAtMs.length, { timeout: 10_000 }).toBe(5)
    const [, , , fourthMs = 0, fifthMs = 0] = requestedAtMs
    // The backoff is 100 ms doubled four times: 1,600 ms. The delay is at least half of it. Timers can be early.
    expect(fifthMs - fourthMs).toBeGreaterThan(750)
  })

  const sendFreshnessRepeatedly = (response: ServerResponse) => {
    const timer = setInterval(() => response.write(freshnessEvent(1_000)), 20)
    response.on('close', () => clearInterval(timer))
  }

  test('after the clock of the client was set ahead, the age of the data is correct after one reconnection', async () => {
    feed = await openScriptedFeed(sendFreshnessRepeatedly)
    const clocks = createSettableClocks()
    const { subscriber } = subscribe({ clocks }, { maxStalenessMs: 20_000 })
    await subscriber.ready()
    clocks.setWallAhead(HOUR_MS)
    // The age is too high by an hour. The client therefore connects again.
    expect(subscriber.freshness()?.ageMs()).toBeGreaterThan(HOUR_MS)
    await expect.poll(() => subscriber.freshness()?.ageMs()).toBeLessThan(20_000)
    expect(feed.queries).toHaveLength(2)
    expect(errors).toHaveLength(1)
  })

  test('after the clock of the client was set back, the age of the data is still correct', async () => {
    feed = await openScriptedFeed(sendFreshnessRepeatedly)
    const clocks = createSettableClocks()
    const { subscriber } = subscribe({ clocks }, { maxStalenessMs: 20_000 })
    await subscriber.ready()
    clocks.setWallAhead(-HOUR_MS)
    const { asOf } = subscriber.freshness() ?? {}
    await expect.poll(() => subscriber.freshness()?.asOf).not.toBe(asOf)
    const ageMs = subscriber.freshness()?.ageMs()
    expect(ageMs).toBeGreaterThanOrEqual(1_000)
    expect(ageMs).toBeLessThan(20_000)
    expect(feed.queries).toHaveLength(1)
  })

  test('if the service ends each connection before the first load is complete, the client reports it once', async () => {
    feed = await openScriptedFeed((response) => response.end(': no events\n\n'))
    openSubscribedClient()
    await expect.poll(() => feed.queries.length, { timeout: 5_000 }).toBeGreaterThan(3)
    expect(errors).toHaveLength(1)
    expect(errors[0]).toMatchObject({
      code: 'UNAVAILABLE',
      message: expect.stringMatching(/ended before the first load was complete: a proxy limits/),
    })
    expect(client.checkNow(claimsOf('auth0|1')).reason).toBe('not_loaded')
  })

  test('after the first load, the end of a connection is no failure', async () => {
    feed = await openScriptedFeed((response) => response.end(freshnessEvent(1_000)))
    openSubscribedClient()
    await expect.poll(() => feed.queries.length, { timeout: 5_000 }).toBeGreaterThan(3)
    expect(errors).toEqual([])
  })

  test('a process that was suspended before it read its first event does not take old data as fresh', async () => {
    const clocks = createSettableClocks()
    feed = await openScriptedFeed((response) => {
      // After the suspension, the service is unavailable.
      if (feed.queries.length > 1) return void response.destroy()
      clocks.suspend(HOUR_MS)
      response.write(freshnessEvent(1_000))
    })
    const { subscriber } = subscribe({ clocks })
    await subscriber.ready()
    expect(subscriber.freshness()?.ageMs()).toBeGreaterThanOrEqual(HOUR_MS)
    await expect.poll(() => feed.queries.length).toBeGreaterThan(1)
    expect(errors[0]?.message).toMatch(/^events of the change feed arrive 3600 s late/)
  })

  test('the age of the data includes the time that the machine slept', async () => {
    feed = await openScriptedFeed((response) => response.write(freshnessEvent(1_000)))
    const clocks = createSettableClocks()
    const { subscriber } = subscribe({ clocks })
    await subscriber.ready()
    clocks.suspend(HOUR_MS)
    expect(subscriber.freshness()?.ageMs()).toBeGreaterThan(HOUR_MS)
  })

  test.each<[string, unknown]>([
    ['a number', 5],
    ['a date in words', 'Monday 23 November 2026'],
    ['a date without a time zone', '2026-11-23T10:00:00'],
    ['the last instant that a Date can hold', '+275760-09-13T00:00:00Z'],
  ])('the client rejects a freshness event with an as_of that is %s', async (_case, as_of) => {
    feed = await openScriptedFeed((response) =>
      response.write(eventText('freshness', freshnessData(NOW, { as_of }), 'f.1')),
    )
    openSubscribedClient()
    await expect.poll(() => errors.length).toBeGreaterThan(0)
    expect(client.checkNow(claimsOf('auth0|1'))).toMatchObject({
      allowed: false,
      reason: 'not_loaded',
    })
  })

  test.each([
    ['is missing', { lag_ms: undefined }],
    ['is a string', { lag_ms: '0' }],
    ['is negative', { lag_ms: -1_000_000 }],
    ['is null', { lag_ms: null }],
  ])('the data counts as stale if lag_ms %s', async (_case, overrides) => {
    feed = await openScriptedFeed((response) =>
      response.write(eventText('freshness', freshnessData(Date.now(), overrides), 'f.1')),
    )
    openSubscribedClient({ maxStalenessMs: 3_000 })
    await expect.poll(() => client.checkNow(claimsOf('auth0|1')).reason).toBe('stale')
  })
})

test('a subscriber replaces a connection that sends no data', async () => {
  feed = await openScriptedFeed((response) =>
    response.write(eventText('freshness', freshnessData(NOW), 'f.1')),
  )
  subscribe({ silenceTimeoutMs: 100 })
  await expect.poll(() => feed.queries.length).toBe(2)
  expect(errors).toMatchObject([
    { code: 'UNAVAILABLE', message: 'the change feed sent no data for 0.1 s: connecting again' },
  ])
})

describe('an invalid event', () => {
  test.each([
    [
      'with a malformed field',
      eventText('change', { ...logout('auth0|1'), at: 'never' }, 'f.2'),
      /^the change feed sent an event in which the field at is missing or malformed: /,
    ],
    [
      'that is not JSON',
      'event: change\ndata: {"user_id":"auth0|1"\n\n',
      /^the change feed sent an event that is not JSON: /,
    ],
    [
      'that is too long',
      `event: change\ndata: ${'x'.repeat(1_000_001)}`,
      /^the change feed sent an event of more than 1000000 characters: /,
    ],
  ])(
    'a subscriber reports an event %s as NOT_UNDERSTOOD, and connects again',
    async (_case, text, message) => {
      feed = await openScriptedFeed(
        (response) => response.write(text),
        (response) => response.write(eventText('freshness', freshnessData(NOW), 'f.1')),
      )
      const { subscriber } = subscribe()
      await subscriber.ready()
      expect(errors).toMatchObject([
        { code: 'NOT_UNDERSTOOD', message: expect.stringMatching(message) },
      ])
      expect(errors[0]?.message).not.toContain('auth0|1')
    },
  )
})
