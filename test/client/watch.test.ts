import { createHmac } from 'node:crypto'
import { getEventListeners } from 'node:events'
import { afterEach, expect, test, vi } from 'vitest'
import { createClaimReport } from '../../src/client/claim-report.js'
import type { Decision } from '../../src/client/decision.js'
import type { FeedSubscriber } from '../../src/client/feed-subscriber.js'
import { type Freshness, withAge } from '../../src/client/freshness.js'
import { createLogoutCache } from '../../src/client/logout-cache.js'
import type { LookupResult } from '../../src/client/lookup.js'
import { type LastLogoutClientOptions, readOptions } from '../../src/client/options.js'
import { createOutageReport } from '../../src/client/outage-report.js'
import type { ReceivedChange } from '../../src/client/received-change.js'
import { createWatcher, type Watcher, type WatchLimits } from '../../src/client/watch.js'
import type { WatchEnd, WatchOptions } from '../../src/client/watch-review.js'
import type { Policy } from '../../src/rules/judge.js'
import { claimNames } from '../../src/rules/token.js'

const SESSION_CLAIM = 'https://last-logout/session_id'
/** The watched tokens were issued a minute before the logouts. */
const LOGIN_SECONDS = Math.floor(Date.now() / 1000) - 60
const LOGOUT_AT = Date.now()
const STALE_AGE_MS = 400_000
const LIMITS: Partial<WatchLimits> = { reviewIntervalMs: 5, retryIntervalMs: 5 }

const claimsOf = (sub: string, claims: object = {}) => ({ sub, iat: LOGIN_SECONDS, ...claims })
/** A logout of all sessions of a user. */
const userLogout = (userId: string): ReceivedChange => ({
  kind: 'user',
  userId,
  at: LOGOUT_AT,
  allSessionsAt: LOGOUT_AT,
})
/** The end of a session. */
const sessionLogout = (sessionId: string): ReceivedChange => ({
  kind: 'session',
  sessionId,
  userId: null,
  at: LOGOUT_AT,
  ended: true,
})
/** The floor ends the tokens of all users whose login is not after it. */
const FLOOR_CHANGE: ReceivedChange = { kind: 'floor', at: LOGOUT_AT }

let watcher: Watcher
afterEach(() => watcher.close())

/**
 * Opens a watcher of the tokens of open connections. The test controls its feed and its lookup through `state`. `ends`
 * contains the calls of `onRevoked`, in which an app ends the connection.
 */
function openWatcher(
  options: Partial<LastLogoutClientOptions> = {},
  limits: Partial<WatchLimits> = {},
) {
  const decisions: Decision[] = []
  const errors: unknown[] = []
  const settings = readOptions({
    url: 'http://127.0.0.1',
    apiKey: 'unused',
    onUnknown: 'deny',
    onDecision: (decision) => decisions.push(decision),
    onError: (error) => errors.push(error),
    ...options,
  })
  const state = {
    /** The age of the data. If it exceeds `maxStalenessMs`, five minutes by default, the data is stale. */
    ageMs: 0,
    policy: 'session' as Policy,
    isLoaded: true,
    /** The cache contains all logouts since this instant. A token with an earlier login is checked by a request. */
    completeSince: 0,
    fetchLogouts: (): Promise<LookupResult> => Promise.reject(new Error('not expected')),
  }
  const freshness = (): Freshness =>
    withAge({ asOf: LOGOUT_AT, lagMs: 0, policy: state.policy }, () => state.ageMs)
  const feed: FeedSubscriber = {
    start: () => {},
    freshness: () => (state.isLoaded ? freshness() : null),
    completeSince: () => state.completeSince,
    ready: async () => {},
    close: async () => {},
  }
  const cache = createLogoutCache()
  watcher = createWatcher(
    {
      settings,
      names: claimNames(),
      reportClaims: createClaimReport(undefined),
      lookup: { cached: () => undefined, fetch: () => state.fetchLogouts() },
      lookupOutage: createOutageReport(undefined, { wall: Date.now }),
      isLookupStale: () => false,
      isFeedStale: (data) => data === null || data.ageMs() > settings.maxStalenessMs,
      cache,
      feed,
      firstLoad: null,
    },
    { ...LIMITS, ...limits },
  )
  const receive = (change: ReceivedChange) => {
    if (cache.merge(change)) watcher.applyChange(change)
  }
  const watch = (claims: object, watchOptions: Partial<WatchOptions> = {}) => {
    const ends: WatchEnd[] = []
    const stop = watcher.watch(claims, { onRevoked: (end) => ends.push(end), ...watchOptions })
    return { ends, stop }
  }
  return { state, freshness, receive, watch, decisions, errors }
}

/** Waits for several intervals at which the watcher reviews its tokens: it judges them again. */
const waitForReviews = () => new Promise((resolve) => setTimeout(resolve, 30))

test('a logout ends the connections of its user at once, and no connection of another user', async () => {
  const { receive, watch, decisions } = openWatcher()
  const [first, second, ofOtherUser] = ['auth0|1', 'auth0|1', 'auth0|2'].map((sub) =>
    watch(claimsOf(sub)),
  )
  await waitForReviews()
  receive(userLogout('auth0|1'))
  const end = { outcome: 'revoked', reason: 'all_sessions_logout' }
  expect([first?.ends, second?.ends, ofOtherUser?.ends]).toEqual([[end], [end], []])
  expect(decisions).toMatchObject([{ outcome: 'revoked' }, { outcome: 'revoked' }])
})

test('the end of a session ends only the connections of this session', async () => {
  const { receive, watch } = openWatcher()
  const phone = watch(claimsOf('auth0|1', { [SESSION_CLAIM]: 'phone' }))
  const laptop = watch(claimsOf('auth0|1', { sid: 'laptop' }))
  await waitForReviews()
  receive(sessionLogout('phone'))
  expect(phone.ends).toEqual([{ outcome: 'revoked', reason: 'session_ended' }])
  expect(laptop.ends).toEqual([])
})

test('a logout before the login ends no connection', async () => {
  const { receive, watch } = openWatcher()
  const { ends } = watch(claimsOf('auth0|1', { iat: Math.floor(LOGOUT_AT / 1000) + 60 }))
  receive(userLogout('auth0|1'))
  await waitForReviews()
  expect(ends).toEqual([])
})

test('the connection of a token that is already revoked ends after `watch` has returned', async () => {
  const { receive, watch } = openWatcher()
  receive(userLogout('auth0|1'))
  const { ends } = watch(claimsOf('auth0|1'))
  expect(ends).toEqual([])
  await expect.poll(() => ends).toEqual([{ outcome: 'revoked', reason: 'all_sessions_logout' }])
})

test('a connection is ended only once, even if several logouts revoke its token', async () => {
  const { receive, watch } = openWatcher()
  const { ends } = watch(claimsOf('auth0|1', { sid: 'S1' }))
  await waitForReviews()
  for (const change of [sessionLogout('S1'), userLogout('auth0|1'), FLOOR_CHANGE]) receive(change)
  await waitForReviews()
  expect(ends).toHaveLength(1)
})

test('a watch that was stopped or whose signal was aborted ends no connection', async () => {
  const { receive, watch } = openWatcher()
  const controller = new AbortController()
  const stoppedWatch = watch(claimsOf('auth0|1'))
  const abortedLater = watch(claimsOf('auth0|1'), { signal: controller.signal })
  const abortedBefore = watch(claimsOf('auth0|1'), { signal: AbortSignal.abort() })
  await waitForReviews()
  stoppedWatch.stop()
  controller.abort()
  receive(userLogout('auth0|1'))
  await waitForReviews()
  expect([stoppedWatch.ends, abortedLater.ends, abortedBefore.ends]).toEqual([[], [], []])
})

test('the floor ends the connections of all users in batches, with a pause after each batch', async () => {
  const { receive, watch } = openWatcher(
    {},
    { maxBatchSize: 10, maxBatchMs: 1_000, minPauseMs: 1, maxPauseMs: 3 },
  )
  /** The number of ended connections in each turn of the event loop. */
  const endsInTurn = new Map<number, number>()
  let turn = 0
  const turnTimer = setInterval(() => turn++, 1)
  const countEnd = () => endsInTurn.set(turn, (endsInTurn.get(turn) ?? 0) + 1)
  for (let n = 0; n < 45; n++) watch(claimsOf(`auth0|${n}`), { onRevoked: countEnd })
  const machine = watch({ sub: 'app@clients' })
  await waitForReviews()
  receive(FLOOR_CHANGE)
  expect(endsInTurn.size).toBe(0)
  const countEnds = () => [...endsInTurn.values()].reduce((sum, count) => sum + count, 0)
  await expect.poll(countEnds).toBe(45)
  clearInterval(turnTimer)
  expect(Math.max(...endsInTurn.values())).toBeLessThanOrEqual(10)
  expect(machine.ends).toEqual([])
})

test('a logout of one user ends a connection at once, even while the floor ends connections in batches', async () => {
  const { receive, watch } = openWatcher(
    {},
    { maxBatchSize: 1, minPauseMs: 60_000, maxPauseMs: 60_000 },
  )
  const endsOfUsers = [1, 2, 3].map((n) => watch(claimsOf(`auth0|${n}`)).ends)
  await waitForReviews()
  receive(FLOOR_CHANGE)
  await expect.poll(() => endsOfUsers[0]).toHaveLength(1)
  receive(userLogout('auth0|3'))
  expect(endsOfUsers.map(({ length }) => length)).toEqual([1, 0, 1])
})

test('a logout of a forgotten person ends the connections of that person', async () => {
  const { receive, watch } = openWatcher()
  const [ofForgotten, ofOther] = [watch(claimsOf('auth0|1')), watch(claimsOf('auth0|2'))]
  await waitForReviews()
  // The change contains a hash of the user id instead of the user id.
  const userHash = createHmac('sha256', 'K').update('auth0|1').digest('hex')
  receive({ kind: 'forgotten_user', key: 'K', userHash, at: LOGOUT_AT, allSessionsAt: LOGOUT_AT })
  await expect.poll(() => ofForgotten.ends).toHaveLength(1)
  expect(ofOther.ends).toEqual([])
})

test('a new policy ends the connections whose tokens are revoked only under this policy', async () => {
  const { state, receive, watch } = openWatcher()
  const laptop = watch(claimsOf('auth0|1', { sid: 'laptop' }))
  await waitForReviews()
  // A logout of another session: only the policy `user` applies it to the session `laptop`.
  receive({ kind: 'user', userId: 'auth0|1', at: LOGOUT_AT, allSessionsAt: null })
  await waitForReviews()
  expect(laptop.ends).toEqual([])
  state.policy = 'user'
  await expect.poll(() => laptop.ends).toEqual([{ outcome: 'revoked', reason: 'user_logout' }])
})

test('a new policy before the first review ends the connections whose tokens are revoked only under this policy', async () => {
  const { state, receive, watch } = openWatcher({}, { reviewIntervalMs: 100 })
  // A logout of another session: only the policy `user` applies it to the session `laptop`.
  receive({ kind: 'user', userId: 'auth0|1', at: LOGOUT_AT, allSessionsAt: null })
  const laptop = watch(claimsOf('auth0|1', { sid: 'laptop' }))
  await new Promise(setImmediate)
  expect(laptop.ends).toEqual([])
  state.policy = 'user'
  await expect.poll(() => laptop.ends).toEqual([{ outcome: 'revoked', reason: 'user_logout' }])
})

test('after a new policy, a token is checked by another request if the cache is not sufficient', async () => {
  const { state, freshness, watch } = openWatcher()
  state.completeSince = LOGOUT_AT
  const user = { at: LOGOUT_AT, allSessionsAt: null }
  // Like a cached response, this response contains the old policy.
  const lookupResult = {
    knownLogouts: { user, session: null, floorAt: null },
    freshness: freshness(),
  }
  const fetchLogouts = vi.spyOn(state, 'fetchLogouts').mockResolvedValue(lookupResult)
  const { ends } = watch(claimsOf('auth0|1', { sid: 'laptop' }))
  await waitForReviews()
  expect(ends).toEqual([])
  expect(fetchLogouts).toHaveBeenCalledTimes(1)
  state.policy = 'user'
  await expect.poll(() => ends).toEqual([{ outcome: 'revoked', reason: 'user_logout' }])
})

test('after a change to a less strict policy, an accepted token is not checked again', async () => {
  const { state, freshness, watch } = openWatcher()
  Object.assign(state, { completeSince: LOGOUT_AT, policy: 'user' })
  const knownLogouts = { user: null, session: null, floorAt: null }
  const lookupResult = { knownLogouts, freshness: freshness() }
  const fetchLogouts = vi.spyOn(state, 'fetchLogouts').mockResolvedValue(lookupResult)
  const { ends } = watch(claimsOf('auth0|1'))
  await waitForReviews()
  state.policy = 'session'
  await waitForReviews()
  expect(fetchLogouts).toHaveBeenCalledTimes(1)
  state.policy = 'user'
  await expect.poll(() => fetchLogouts.mock.calls.length).toBe(2)
  expect(ends).toEqual([])
})

test('at most 500 requests are in progress at the same time', async () => {
  const { state, watch } = openWatcher()
  state.completeSince = LOGOUT_AT
  const fetchLogouts = vi.spyOn(state, 'fetchLogouts').mockReturnValue(new Promise(() => {}))
  for (let n = 0; n < 600; n++) watch(claimsOf(`auth0|${n}`))
  await waitForReviews()
  expect(fetchLogouts).toHaveBeenCalledTimes(500)
})

test('a token is judged by the policy of the feed or that of the response, whichever is stricter', async () => {
  const { state, freshness, watch } = openWatcher()
  state.completeSince = LOGOUT_AT
  const user = { at: LOGOUT_AT, allSessionsAt: null }
  const lookupResult = {
    knownLogouts: { user, session: null, floorAt: null },
    freshness: { ...freshness(), policy: 'user' as Policy },
  }
  vi.spyOn(state, 'fetchLogouts').mockResolvedValue(lookupResult)
  const { ends } = watch(claimsOf('auth0|1', { sid: 'laptop' }))
  await expect.poll(() => ends).toEqual([{ outcome: 'revoked', reason: 'user_logout' }])
})

test('after a new policy, a connection ends if no request succeeds for `maxUnknownMs`', async () => {
  const { state, freshness, watch } = openWatcher()
  state.completeSince = LOGOUT_AT
  const lookupResult = {
    knownLogouts: { user: null, session: null, floorAt: null },
    freshness: freshness(),
  }
  vi.spyOn(state, 'fetchLogouts')
    .mockResolvedValueOnce(lookupResult)
    .mockRejectedValue(new Error('unavailable'))
  const { ends } = watch(claimsOf('auth0|1'), { maxUnknownMs: 200 })
  await new Promise((resolve) => setTimeout(resolve, 250))
  expect(ends).toEqual([])
  state.policy = 'user'
  await waitForReviews()
  // The time starts with the new policy.
  expect(ends).toEqual([])
  await expect.poll(() => ends).toEqual([{ outcome: 'unknown', reason: 'lookup_needed' }])
})

test('the time for which the data was stale before a watch does not count for the watch', async () => {
  const { state, receive, watch } = openWatcher({ maxStalenessMs: 1_000 }, { reviewIntervalMs: 40 })
  state.ageMs = 2_000
  const { stop } = watch(claimsOf('auth0|1'))
  await new Promise((resolve) => setTimeout(resolve, 60))
  stop()
  state.ageMs = 0
  const { ends } = watch(claimsOf('auth0|1'), { maxUnknownMs: 20 })
  await waitForReviews()
  state.ageMs = 2_000
  // A logout before the login does not revoke the token, but causes a review at once.
  receive({ kind: 'user', userId: 'auth0|1', at: LOGIN_SECONDS * 1_000 - 1, allSessionsAt: null })
  expect(ends).toEqual([])
})

test('the connection of a token ends when the token expires', async () => {
  const { watch } = openWatcher()
  const { ends } = watch(claimsOf('auth0|1', { exp: Date.now() / 1000 + 0.05 }))
  const machine = watch({ sub: 'app@clients', exp: Date.now() / 1000 + 0.05 })
  const expiresLater = watch(claimsOf('auth0|1', { exp: Date.now() / 1000 + 60 }))
  await expect.poll(() => ends).toEqual([{ outcome: 'expired', reason: 'expired' }])
  await expect.poll(() => machine.ends).toHaveLength(1)
  expect(expiresLater.ends).toEqual([])
})

test('with `deny`, a connection ends only after the feed was stale for `maxUnknownMs` without a break', async () => {
  const { state, watch } = openWatcher()
  const [shortWatch, longWatch] = [watch(claimsOf('1'), { maxUnknownMs: 40 }), watch(claimsOf('2'))]
  await waitForReviews()
  state.ageMs = STALE_AGE_MS
  await waitForReviews()
  state.ageMs = 0
  await waitForReviews()
  expect(shortWatch.ends).toEqual([])
  state.ageMs = STALE_AGE_MS
  await expect.poll(() => shortWatch.ends).toEqual([{ outcome: 'unknown', reason: 'stale' }])
  expect(longWatch.ends).toEqual([])
})

test.each([{ onUnknown: 'allow' as const }, { mode: 'observe' as const }])(
  'with %o, a connection whose revocation status is unknown stays open',
  async (options) => {
    const { state, watch } = openWatcher(options)
    const { ends } = watch(claimsOf('auth0|1'), { maxUnknownMs: 0 })
    state.isLoaded = false
    await waitForReviews()
    expect(ends).toEqual([])
  },
)

test('a token that is watched before the first load is judged after the load', async () => {
  const { state, receive, watch } = openWatcher()
  state.isLoaded = false
  state.completeSince = Number.POSITIVE_INFINITY
  const [revoked, accepted] = [watch(claimsOf('auth0|1')), watch(claimsOf('auth0|2'))]
  await waitForReviews()
  receive({ kind: 'user', userId: 'auth0|1', at: LOGIN_SECONDS * 1000, allSessionsAt: null })
  Object.assign(state, { isLoaded: true, completeSince: 0 })
  await expect.poll(() => revoked.ends).toHaveLength(1)
  expect(accepted.ends).toEqual([])
})

test('if the cache is not sufficient, a token is checked by a request, which is repeated until it succeeds', async () => {
  const { state, freshness, receive, watch } = openWatcher()
  state.completeSince = LOGOUT_AT
  const logout = { at: LOGOUT_AT, allSessionsAt: LOGOUT_AT }
  const lookupResult = {
    knownLogouts: { user: logout, session: null, floorAt: null },
    freshness: freshness(),
  }
  const fetchLogouts = vi
    .spyOn(state, 'fetchLogouts')
    .mockRejectedValueOnce(new Error('unavailable'))
    .mockResolvedValueOnce(lookupResult)
  const { ends } = watch(claimsOf('auth0|1'))
  await expect.poll(() => ends).toHaveLength(1)
  expect(fetchLogouts).toHaveBeenCalledTimes(2)

  fetchLogouts.mockResolvedValue({
    ...lookupResult,
    knownLogouts: { ...lookupResult.knownLogouts, user: null },
  })
  const ofOtherUser = watch(claimsOf('auth0|2'))
  await waitForReviews()
  expect(fetchLogouts).toHaveBeenCalledTimes(3)
  receive(userLogout('auth0|2'))
  expect(ofOtherUser.ends).toHaveLength(1)
})

test('with `observe`, a logout is reported once, but ends no connection', async () => {
  const { receive, watch, decisions } = openWatcher({ mode: 'observe' })
  const { ends } = watch(claimsOf('auth0|1'))
  await waitForReviews()
  receive(userLogout('auth0|1'))
  receive(FLOOR_CHANGE)
  await waitForReviews()
  expect(decisions).toMatchObject([{ outcome: 'revoked', allowed: true }])
  expect(ends).toEqual([])
})

test('an error or a rejection of `onRevoked` is reported to `onError`, and does not affect other watches', async () => {
  const { receive, watch, errors } = openWatcher()
  const createThrower = (message: string) => () => {
    throw new Error(message)
  }
  watch(claimsOf('auth0|1'), { onRevoked: createThrower('thrown') })
  watch(claimsOf('auth0|1'), { onRevoked: async () => createThrower('rejected')() })
  const { ends } = watch(claimsOf('auth0|1'))
  await waitForReviews()
  receive(userLogout('auth0|1'))
  await waitForReviews()
  expect(ends).toHaveLength(1)
  expect(errors).toMatchObject([{ message: 'thrown' }, { message: 'rejected' }])
})

test.each<[string, unknown, unknown]>([
  ['claims', undefined, { onRevoked: () => {} }],
  ['onRevoked', {}, undefined],
  ['onRevoked', {}, {}],
  ['maxUnknownMs', {}, { onRevoked: () => {}, maxUnknownMs: Number.NaN }],
])('watch throws a TypeError that names the invalid argument %s', (name, claims, options) => {
  openWatcher()
  expect(() => watcher.watch(claims as object, options as WatchOptions)).toThrow(
    expect.objectContaining({ name: 'TypeError', message: expect.stringContaining(name) }),
  )
})

test('after the client was closed, a watch that is stopped at once ends no connection', async () => {
  const { watch } = openWatcher()
  watcher.close()
  const { ends, stop } = watch(claimsOf('auth0|1'))
  stop()
  await waitForReviews()
  expect(ends).toEqual([])
})

test.each(['deny' as const, 'allow' as const])(
  'with `%s`, after the client was closed, a new watch leaves no listener on its signal',
  async (onUnknown) => {
    const { watch } = openWatcher({ onUnknown })
    watcher.close()
    const { signal } = new AbortController()
    watch(claimsOf('auth0|1'), { signal })
    await waitForReviews()
    expect(getEventListeners(signal, 'abort')).toEqual([])
  },
)

test.each([
  ['deny' as const, [{ outcome: 'unknown', reason: 'stale' }]],
  ['allow' as const, []],
])(
  'with `%s`, after the client was closed, the calls of onRevoked for a new watch are %j',
  async (onUnknown, expected) => {
    const { watch } = openWatcher({ onUnknown })
    watcher.close()
    const { ends } = watch(claimsOf('auth0|1'))
    await waitForReviews()
    expect(ends).toEqual(expected)
  },
)
