import { afterEach, describe, expect, test } from 'vitest'
import type { FeedEvent } from '../../src/client/feed-events.js'
import { createFeedProgress, type FeedProgress } from '../../src/client/feed-progress.js'
import { createLogoutCache, type LogoutCache } from '../../src/client/logout-cache.js'
import type { ReceivedChange } from '../../src/client/received-change.js'

const NOW = Date.UTC(2026, 10, 23, 10)
const DAY_MS = 86_400_000

const change: ReceivedChange = { kind: 'user', userId: 'auth0|1', at: NOW, allSessionsAt: null }
/** Creates a change. Only the last change of a page has a cursor. */
const changeEvent = (cursor: string | null): FeedEvent => ({ kind: 'change', change, cursor })
/** Creates the event that ends a load. `asOf` is the instant up to which the service has read the log. */
const freshnessEvent = (cursor: string, asOf = NOW): FeedEvent => ({
  kind: 'freshness',
  freshness: { asOf, lagMs: 0, policy: 'session' },
  cursor,
})
/** The event after which the service sends all logouts again. */
const reset: FeedEvent = { kind: 'reset', cursor: null }

let now: number
let cache: LogoutCache
let progress: FeedProgress
function open(): void {
  now = NOW
  cache = createLogoutCache()
  progress = createFeedProgress(cache, {
    // A load, which is the first reading of the feed, contains the logouts of this duration.
    horizonMs: DAY_MS,
    reloadIntervalMs: DAY_MS,
    maxReloadDelayMs: DAY_MS,
    now: () => now,
    onReload: () => {},
  })
}
afterEach(() => progress.close())

/** Returns the query of the next connection as an object. */
const connect = () => Object.fromEntries(progress.nextQuery())
/** The instant from which the first load reads. */
const SINCE = new Date(NOW - DAY_MS).toISOString()

describe('a connection', () => {
  test('a connection begins a load of the logouts of `horizonMs` if no earlier connection has received an event', () => {
    open()
    expect(connect()).toEqual({ since: SINCE })
    now += 5
    expect(connect()).toEqual({ since: new Date(NOW - DAY_MS + 5).toISOString() })
  })

  test.each([
    ['a load', [changeEvent('f.1')]],
    ['a live connection', [freshnessEvent('f.1')]],
  ])('the next connection resumes %s at the cursor, with the same `since`', (_case, events) => {
    open()
    connect()
    for (const event of events) progress.apply(event)
    now += 5
    expect(connect()).toEqual({ since: SINCE, after: 'f.1' })
  })

  test('the next connection resumes at the end of the last complete page', () => {
    open()
    connect()
    progress.apply(changeEvent('f.1'))
    progress.apply(changeEvent(null))
    expect(connect()).toEqual({ since: SINCE, after: 'f.1' })
  })

  test('the next connection begins a new load after a reset', () => {
    open()
    connect()
    progress.apply(freshnessEvent('f.1'))
    progress.apply(reset)
    now += 5
    expect(connect()).toEqual({ since: new Date(NOW - DAY_MS + 5).toISOString() })
  })
})

describe('the cache', () => {
  test('the cache is complete from `since` on when a freshness event has ended the load', () => {
    open()
    connect()
    progress.apply(changeEvent('f.1'))
    expect(progress.completeSince()).toBe(Number.POSITIVE_INFINITY)
    progress.apply(freshnessEvent('f.1'))
    expect(progress.completeSince()).toBe(NOW - DAY_MS)
  })

  test('the cache stays complete during a reload, and drops undelivered rows at the end of the reload', () => {
    open()
    connect()
    progress.apply(changeEvent('f.1'))
    progress.apply(freshnessEvent('f.1'))
    progress.apply(reset)
    expect(progress.completeSince()).toBe(NOW - DAY_MS)
    expect(cache.count()).toBe(1)
    progress.apply(freshnessEvent('g.1', NOW + 1))
    expect(cache.count()).toBe(0)
  })
})
