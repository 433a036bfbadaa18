import { createHmac } from 'node:crypto'
import { getEventListeners } from 'node:events'
import { afterEach, expect, test, vi } from 'vitest'
import { createClaimReport } from '../../src/client/claim-report.js'
import type { Decision } from '../../src/client/decision.js'
import type { ReceivedChange } from '../../src/client/feed-events.js'
import type { FeedSubscriber } from '../../src/client/feed-subscriber.js'
import { type Freshness, withAge } from '../../src/client/freshness.js'
import { createLogoutCache } from '../../src/client/logout-cache.js'
import type { LookupResult } from '../../src/client/lookup.js'
import { type LastLogoutClientOptions, readOptions } from '../../src/client/options.js'
import { createOutageReport } from '../../src/client/outage-report.js'
import { createWatcher, type Watcher, type WatchLimits } from '../../src/client/watch.js'
import type { WatchEnd, WatchOptions } from '../../src/client/watch-review.js'
import type { Policy } from '../../src/rules/judge.js'
import { claimNames } from '../../src/rules/token.js'

const SESSION = 'https://last-logout/session_id'
const LOGIN_SECONDS = Math.floor(Date.now() / 1000) - 60
const LATER = Date.now()
const LIMITS: Partial<WatchLimits> = { reviewIntervalMs: 5, retryIntervalMs: 5 }

const claimsOf = (sub: string, claims: object = {}) => ({ sub, iat: LOGIN_SECONDS, ...claims })
const userLogout = (userId: string): ReceivedChange => ({
  kind: 'user',
  userId,
  at: LATER,
  allSessionsAt: LATER,
})
const sessionLogout = (sessionId: string): ReceivedChange => ({
  kind: 'session',
  sessionId,
  userId: null,
  at: LATER,
  ended: true,
})
const FLOOR: ReceivedChange = { kind: 'floor', at: LATER }

let watcher: Watcher
afterEach(() => watcher.close())

/** Opens a watcher with a feed and a lookup. The test controls both through `state`. */
function open(options: Partial<LastLogoutClientOptions> = {}, limits: Partial<WatchLimits> = {}) {
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
    ageMs: 0,
    policy: 'session' as Policy,
    isLoaded: true,
    completeSince: 0,
    fetchLogouts: (): Promise<LookupResult> => Promise.reject(new Error('not expected')),
  }
  const freshness = (): Freshness =>
    withAge({ asOf: LATER, lagMs: 0, policy: state.policy }, () => state.ageMs)
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
      isFeedStale: (stated) => stated === null || stated.ageMs() > settings.maxStalenessMs,
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

/** Waits until the watcher has completed its reviews. */
const settled = () => new Promise((resolve) => setTimeout(resolve, 30))

test('a logout at once ends the connections of its user, and no others', async () => {
  const { receive, watch, decisions } = open()
  const [first, second, other] = ['auth0|1', 'auth0|1', 'auth0|2'].map((sub) =>
    watch(claimsOf(sub)),
  )
  await settled()
  receive(userLogout('auth0|1'))
  const end = { outcome: 'revoked', reason: 'all_sessions_logout' }
  expect([first?.ends, second?.ends, other?.ends]).toEqual([[end], [end], []])
  expect(decisions).toMatchObject([{ outcome: 'revoked' }, { outcome: 'revoked' }])
})

test('the end of a session ends the connections of this session only', async () => {
  const { receive, watch } = open()
  const phone = watch(claimsOf('auth0|1', { [SESSION]: 'phone' }))
  const laptop = watch(claimsOf('auth0|1', { sid: 'laptop' }))
  await settled()
  receive(sessionLogout('phone'))
  expect(phone.ends).toEqual([{ outcome: 'revoked', reason: 'session_ended' }])
  expect(laptop.ends).toEqual([])
})

test('a logout before the login ends no connection', async () => {
  const { receive, watch } = open()
  const { ends } = watch(claimsOf('auth0|1', { iat: Math.floor(LATER / 1000) + 60 }))
  receive(userLogout('auth0|1'))
  await settled()
  expect(ends).toEqual([])
})

test('a token that is already revoked ends its connection after `watch` has returned', async () => {
  const { receive, watch } = open()
  receive(userLogout('auth0|1'))
  const { ends } = watch(claimsOf('auth0|1'))
  expect(ends).toEqual([])
  await expect.poll(() => ends).toEqual([{ outcome: 'revoked', reason: 'all_sessions_logout' }])
})

test('a connection is ended only once, even if several logouts revoke its token', async () => {
  const { receive, watch } = open()
  const { ends } = watch(claimsOf('auth0|1', { sid: 'S1' }))
  await settled()
  for (const change of [sessionLogout('S1'), userLogout('auth0|1'), FLOOR]) receive(change)
  await settled()
  expect(ends).toHaveLength(1)
})

test('a stopped watch and a watch with an aborted signal end no connection', async () => {
  const { receive, watch } = open()
  const controller = new AbortController()
  const stoppedWatch = watch(claimsOf('auth0|1'))
  const abortedLater = watch(claimsOf('auth0|1'), { signal: controller.signal })
  const abortedBefore = watch(claimsOf('auth0|1'), { signal: AbortSignal.abort() })
  await settled()
  stoppedWatch.stop()
  controller.abort()
  receive(userLogout('auth0|1'))
  await settled()
  expect([stoppedWatch.ends, abortedLater.ends, abortedBefore.ends]).toEqual([[], [], []])
})

test('the floor ends the connections of all users in batches, with a pause after each batch', async () => {
  const { receive, watch } = open(
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
  await settled()
  receive(FLOOR)
  expect(endsInTurn.size).toBe(0)
  const countEnds = () => [...endsInTurn.values()].reduce((sum, count) => sum + count, 0)
  await expect.poll(countEnds).toBe(45)
  clearInterval(turnTimer)
  expect(Math.max(...endsInTurn.values())).toBeLessThanOrEqual(10)
  expect(machine.ends).toEqual([])
})

test('a logout of one user ends a connection at once, even while the floor ends connections in batches', async () => {
  const { receive, watch } = open({}, { maxBatchSize: 1, minPauseMs: 60_000, maxPauseMs: 60_000 })
  const ends = [1, 2, 3].map((n) => watch(claimsOf(`auth0|${n}`)).ends)
  await settled()
  receive(FLOOR)
  await expect.poll(() => ends[0]).toHaveLength(1)
  receive(userLogout('auth0|3'))
  expect(ends.map(({ length }) => length)).toEqual([1, 0, 1])
})

test('a logout of a forgotten person ends the connections of that person', async () => {
  const { receive, watch } = open()
  const [forgotten, other] = [watch(claimsOf('auth0|1')), watch(claimsOf('auth0|2'))]
  await settled()
  const userHash = createHmac('sha256', 'K').update('auth0|1').digest('hex')
  receive({ kind: 'forgotten_user', key: 'K', userHash, at: LATER, allSessionsAt: LATER })
  await expect.poll(() => forgotten.ends).toHaveLength(1)
  expect(other.ends).toEqual([])
})

test('a new policy ends the connections that only this policy revokes', async () => {
  const { state, receive, watch } = open()
  const laptop = watch(claimsOf('auth0|1', { sid: 'laptop' }))
  await settled()
  receive({ kind: 'user', userId: 'auth0|1', at: LATER, allSessionsAt: null })
  await settled()
  expect(laptop.ends).toEqual([])
  state.policy = 'user'
  await expect.poll(() => laptop.ends).toEqual([{ outcome: 'revoked', reason: 'user_logout' }])
})

test('a new policy in the first interval of the first watch ends the connections that only this policy revokes', async () => {
  const { state, receive, watch } = open({}, { reviewIntervalMs: 100 })
  receive({ kind: 'user', userId: 'auth0|1', at: LATER, allSessionsAt: null })
  const laptop = watch(claimsOf('auth0|1', { sid: 'laptop' }))
  await new Promise(setImmediate)
  expect(laptop.ends).toEqual([])
  state.policy = 'user'
  await expect.poll(() => laptop.ends).toEqual([{ outcome: 'revoked', reason: 'user_logout' }])
})

test('after a new policy, a token is checked by a request again if the cache is not sufficient', async () => {
  const { state, freshness, watch } = open()
  state.completeSince = LATER
  const user = { at: LATER, allSessionsAt: null }
  // Like a cached response, this response contains the old policy.
  const found = { knownLogouts: { user, session: null, floorAt: null }, freshness: freshness() }
  const fetchLogouts = vi.spyOn(state, 'fetchLogouts').mockResolvedValue(found)
  const { ends } = watch(claimsOf('auth0|1', { sid: 'laptop' }))
  await settled()
  expect(ends).toEqual([])
  expect(fetchLogouts).toHaveBeenCalledTimes(1)
  state.policy = 'user'
  await expect.poll(() => ends).toEqual([{ outcome: 'revoked', reason: 'user_logout' }])
})

test('after a policy that is less strict, a token is not checked again', async () => {
  const { state, freshness, watch } = open()
  Object.assign(state, { completeSince: LATER, policy: 'user' })
  const knownLogouts = { user: null, session: null, floorAt: null }
  const found = { knownLogouts, freshness: freshness() }
  const fetchLogouts = vi.spyOn(state, 'fetchLogouts').mockResolvedValue(found)
  const { ends } = watch(claimsOf('auth0|1'))
  await settled()
  state.policy = 'session'
  await settled()
  expect(fetchLogouts).toHaveBeenCalledTimes(1)
  state.policy = 'user'
  await expect.poll(() => fetchLogouts.mock.calls.length).toBe(2)
  expect(ends).toEqual([])
})

test('at most 500 requests are in progress at the same time', async () => {
  const { state, watch } = open()
  state.completeSince = LATER
  const fetchLogouts = vi.spyOn(state, 'fetchLogouts').mockReturnValue(new Promise(() => {}))
  for (let n = 0; n < 600; n++) watch(claimsOf(`auth0|${n}`))
  await settled()
  expect(fetchLogouts).toHaveBeenCalledTimes(500)
})

test('a token is judged by the stricter policy of the feed and the response', async () => {
  const { state, freshness, watch } = open()
  state.completeSince = LATER
  const user = { at: LATER, allSessionsAt: null }
  const found = {
    knownLogouts: { user, session: null, floorAt: null },
    freshness: { ...freshness(), policy: 'user' as Policy },
  }
  vi.spyOn(state, 'fetchLogouts').mockResolvedValue(found)
  const { ends } = watch(claimsOf('auth0|1', { sid: 'laptop' }))
  await expect.poll(() => ends).toEqual([{ outcome: 'revoked', reason: 'user_logout' }])
})

test('after a new policy, a connection ends if no request succeeds for `maxUnknownMs`', async () => {
  const { state, freshness, watch } = open()
  state.completeSince = LATER
  const found = {
    knownLogouts: { user: null, session: null, floorAt: null },
    freshness: freshness(),
  }
  vi.spyOn(state, 'fetchLogouts')
    .mockResolvedValueOnce(found)
    .mockRejectedValue(new Error('unavailable'))
  const { ends } = watch(claimsOf('auth0|1'), { maxUnknownMs: 200 })
  await new Promise((resolve) => setTimeout(resolve, 250))
  expect(ends).toEqual([])
  state.policy = 'user'
  await settled()
  // The time starts with the new policy.
  expect(ends).toEqual([])
  await expect.poll(() => ends).toEqual([{ outcome: 'unknown', reason: 'lookup_needed' }])
})

test('a time of stale data before a watch does not end the watch', async () => {
  const { state, receive, watch } = open({ maxStalenessMs: 1_000 }, { reviewIntervalMs: 40 })
  state.ageMs = 2_000
  const { stop } = watch(claimsOf('auth0|1'))
  await new Promise((resolve) => setTimeout(resolve, 60))
  stop()
  state.ageMs = 0
  const { ends } = watch(claimsOf('auth0|1'), { maxUnknownMs: 20 })
  await settled()
  state.ageMs = 2_000
  receive({ kind: 'user', userId: 'auth0|1', at: LOGIN_SECONDS * 1_000 - 1, allSessionsAt: null })
  expect(ends).toEqual([])
})

test('the connection of a token ends when the token expires', async () => {
  const { watch } = open()
  const { ends } = watch(claimsOf('auth0|1', { exp: Date.now() / 1000 + 0.05 }))
  const machine = watch({ sub: 'app@clients', exp: Date.now() / 1000 + 0.05 })
  const expiresLater = watch(claimsOf('auth0|1', { exp: Date.now() / 1000 + 60 }))
  await expect.poll(() => ends).toEqual([{ outcome: 'expired', reason: 'expired' }])
  await expect.poll(() => machine.ends).toHaveLength(1)
  expect(expiresLater.ends).toEqual([])
})

test('with `deny`, a connection ends only after the feed was stale for `maxUnknownMs`', async () => {
  const { state, watch } = open()
  const [short, long] = [watch(claimsOf('1'), { maxUnknownMs: 40 }), watch(claimsOf('2'))]
  await settled()
  state.ageMs = 400_000
  await settled()
  state.ageMs = 0
  await settled()
  expect(short.ends).toEqual([])
  state.ageMs = 400_000
  await expect.poll(() => short.ends).toEqual([{ outcome: 'unknown', reason: 'stale' }])
  expect(long.ends).toEqual([])
})

test.each([{ onUnknown: 'allow' as const }, { mode: 'observe' as const }])(
  'with %o, a connection whose revocation status is unknown stays open',
  async (options) => {
    const { state, watch } = open(options)
    const { ends } = watch(claimsOf('auth0|1'), { maxUnknownMs: 0 })
    state.isLoaded = false
    await settled()
    expect(ends).toEqual([])
  },
)

test('a token that is watched before the first load is judged after the load', async () => {
  const { state, receive, watch } = open()
  state.isLoaded = false
  state.completeSince = Number.POSITIVE_INFINITY
  const [revoked, accepted] = [watch(claimsOf('auth0|1')), watch(claimsOf('auth0|2'))]
  await settled()
  receive({ kind: 'user', userId: 'auth0|1', at: LOGIN_SECONDS * 1000, allSessionsAt: null })
  Object.assign(state, { isLoaded: true, completeSince: 0 })
  await expect.poll(() => revoked.ends).toHaveLength(1)
  expect(accepted.ends).toEqual([])
})

test('if the cache is not sufficient, a token is checked by a request, which is repeated until it succeeds', async () => {
  const { state, freshness, receive, watch } = open()
  state.completeSince = LATER
  const logout = { at: LATER, allSessionsAt: LATER }
  const found = {
    knownLogouts: { user: logout, session: null, floorAt: null },
    freshness: freshness(),
  }
  const fetchLogouts = vi
    .spyOn(state, 'fetchLogouts')
    .mockRejectedValueOnce(new Error('unavailable'))
    .mockResolvedValueOnce(found)
  const { ends } = watch(claimsOf('auth0|1'))
  await expect.poll(() => ends).toHaveLength(1)
  expect(fetchLogouts).toHaveBeenCalledTimes(2)

  fetchLogouts.mockResolvedValue({ ...found, knownLogouts: { ...found.knownLogouts, user: null } })
  const other = watch(claimsOf('auth0|2'))
  await settled()
  expect(fetchLogouts).toHaveBeenCalledTimes(3)
  receive(userLogout('auth0|2'))
  expect(other.ends).toHaveLength(1)
})

test('with `observe`, a logout is reported once, but ends no connection', async () => {
  const { receive, watch, decisions } = open({ mode: 'observe' })
  const { ends } = watch(claimsOf('auth0|1'))
  await settled()
  receive(userLogout('auth0|1'))
  receive(FLOOR)
  await settled()
  expect(decisions).toMatchObject([{ outcome: 'revoked', allowed: true }])
  expect(ends).toEqual([])
})

test('an error or a rejection of `onRevoked` is reported to `onError`, and does not affect other watches', async () => {
  const { receive, watch, errors } = open()
  const fails = (message: string) => () => {
    throw new Error(message)
  }
  watch(claimsOf('auth0|1'), { onRevoked: fails('thrown') })
  watch(claimsOf('auth0|1'), { onRevoked: async () => fails('rejected')() })
  const { ends } = watch(claimsOf('auth0|1'))
  await settled()
  receive(userLogout('auth0|1'))
  await settled()
  expect(ends).toHaveLength(1)
  expect(errors).toMatchObject([{ message: 'thrown' }, { message: 'rejected' }])
})

test.each<[string, unknown, unknown]>([
  ['claims', undefined, { onRevoked: () => {} }],
  ['onRevoked', {}, undefined],
  ['onRevoked', {}, {}],
  ['maxUnknownMs', {}, { onRevoked: () => {}, maxUnknownMs: Number.NaN }],
])('watch throws a TypeError that names the invalid argument %s', (name, claims, options) => {
  open()
  expect(() => watcher.watch(claims as object, options as WatchOptions)).toThrow(
    expect.objectContaining({ name: 'TypeError', message: expect.stringContaining(name) }),
  )
})

test('after the client was closed, a watch that is stopped at once ends no connection', async () => {
  const { watch } = open()
  watcher.close()
  const { ends, stop } = watch(claimsOf('auth0|1'))
  stop()
  await settled()
  expect(ends).toEqual([])
})

test.each(['deny' as const, 'allow' as const])(
  'after the client was closed, with `%s`, a new watch leaves no listener on its signal',
  async (onUnknown) => {
    const { watch } = open({ onUnknown })
    watcher.close()
    const { signal } = new AbortController()
    watch(claimsOf('auth0|1'), { signal })
    await settled()
    expect(getEventListeners(signal, 'abort')).toEqual([])
  },
)

test.each([
  ['deny' as const, [{ outcome: 'unknown', reason: 'stale' }]],
  ['allow' as const, []],
])(
  'after the client was closed, with `%s`, the ends of a new watch are %j',
  async (onUnknown, expected) => {
    const { watch } = open({ onUnknown })
    watcher.close()
    const { ends } = watch(claimsOf('auth0|1'))
    await settled()
    expect(ends).toEqual(expected)
  },
)
