import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { documentedRefillPerMinute } from '../../../src/auth0/rate/documented-limits.js'
import { createRateLimiter } from '../../../src/auth0/rate/rate-limiter.js'
import { type SimulatedRateLimit, simulateRateLimit } from '../../../src/simulator/rate-limit.js'

/** The start of each simulation by Auth0's clock, in milliseconds since the epoch. */
const EPOCH = 1_763_000_000_000

/** A simulated rate limit, and the traffic that uses it. */
interface Simulation {
  limit: SimulatedRateLimit
  /** Our share: the fraction of the limit that our limiter may use. */
  share: number
  /** Average number of requests per second of callers that use the same limit. */
  othersPerSecond?: number
  /** Maximum duration of a request, in milliseconds. */
  latencyMs?: number
  minutes?: number
  seed?: number
}

/** A request that our limiter allowed. */
interface SentRequest {
  /** When the simulated limit counted the request, in milliseconds since the start of the simulation. */
  at: number
  allowed: boolean
  remaining: number
  resetSeconds: number
}

/** Simulates a client that sends requests as fast as our limiter allows. The time is simulated too. */
function simulate({
  limit,
  share,
  othersPerSecond = 0,
  latencyMs = 2,
  minutes = 10,
  seed = 1,
}: Simulation): SentRequest[] {
  const random = createRandom(seed)
  let serverNow = EPOCH + random() * 60_000
  const startedAt = serverNow
  const countRequest = simulateRateLimit(limit, () => serverNow)
  const limiter = createRateLimiter(share)
  const sent: SentRequest[] = []
  // The random intervals between the requests of others are on average half of their maximum.
  const maxOtherIntervalMs = 2000 / othersPerSecond
  let otherAt = othersPerSecond > 0 ? random() * maxOtherIntervalMs : Number.POSITIVE_INFINITY
  for (let now = 0; now < minutes * 60_000; ) {
    // The simulated timer fires up to a millisecond late.
    const readyAt = limiter.readyAt()
    if (readyAt > now) now = readyAt + random()
    limiter.recordSent(now)
    const latency = latencyMs * (0.5 + random() / 2)
    const at = now + latency * random()
    for (; otherAt < at; otherAt += random() * maxOtherIntervalMs) {
      serverNow = startedAt + otherAt
      countRequest()
    }
    serverNow = startedAt + at
    const { allowed, limit: size, remaining, resetSeconds } = countRequest()
    sent.push({ at, allowed, remaining, resetSeconds })
    const [sentAt, receivedAt] = [now, now + latency]
    const dateMs = Math.floor(serverNow / 1000) * 1000
    const resetAt = resetSeconds * 1000
    const response = { limit: size, remaining, resetAt, dateMs, sentAt, receivedAt }
    if (allowed) limiter.recordResponse(response)
    else limiter.recordEndWithoutLimit()
    // After a refusal, the client waits a second.
    now = receivedAt + (allowed ? 0 : 1000)
  }
  return sent
}

/** Creates a generator of pseudorandom numbers from 0 to 1, so that each simulation can be repeated. */
function createRandom(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

/** Returns the number of tokens that our requests must leave to other callers. */
const reserveOf = ({ limit, share }: Simulation) =>
  Math.min((1 - share) * limit.burst, limit.burst - 1)

const SHARES = [0.25, 0.5, 0.8, 1]
/** The buckets that Auth0 documents: their sizes, and their refills in tokens per second. */
const DOCUMENTED_BUCKETS = [
  { burst: 2, perSecond: 2 },
  { burst: 10, perSecond: 100 / 60 },
  { burst: 50, perSecond: 16 },
]
/** Buckets that Auth0 does not document. */
const OTHER_BUCKETS = [
  { burst: 5, perSecond: 0.2 },
  { burst: 20, perSecond: 5 },
  { burst: 20, perSecond: 20 },
  { burst: 100, perSecond: 30 },
]
/** Fixed windows: their sizes in requests, and their durations. */
const WINDOWS = [
  { burst: 100, windowSeconds: 60 },
  { burst: 10, windowSeconds: 60 },
  { burst: 20, windowSeconds: 2 },
]

/** Returns the number of requests that our share of a bucket allows until `at`. */
const requestsAllowed = (share: number, burst: number, perSecond: number, at: number) =>
  Math.max(1, share * burst) + (share * perSecond * at) / 1000

/** Combines each limit with each share. */
function withShares<T extends object>(limits: T[]) {
  return limits.flatMap((limit) => SHARES.map((share) => ({ ...limit, share })))
}

/**
 * Expects that the limiter sends no more requests than our share allows. Returns the fraction of the allowed requests
 * that it sends.
 */
function expectWithinShare(
  simulation: Simulation & { limit: { burst: number; perSecond: number } },
) {
  const { share, limit } = simulation
  const sent = simulate(simulation)
  const allowedAt = (at: number) => requestsAllowed(share, limit.burst, limit.perSecond, at)
  // The tolerance of 1e-6 is for rounding errors.
  const excessRequests = sent.filter(({ at }, index) => index + 1 > allowedAt(at) + 1e-6)
  expect(excessRequests).toEqual([])
  // `remaining` does not contain the token of the request itself.
  expect(Math.min(...sent.map(({ remaining }) => remaining + 1))).toBeGreaterThan(
    reserveOf(simulation),
  )
  expect(sent.every(({ allowed }) => allowed)).toBe(true)
  return sent.length / allowedAt(sent.at(-1)?.at ?? 0)
}

describe('under a token bucket (pitfall 13)', () => {
  test.each(withShares(DOCUMENTED_BUCKETS))(
    'the limiter uses our share almost completely if the refill is documented: size $burst, $perSecond per second, share $share',
    ({ burst, perSecond, share }) => {
      const usedFraction = expectWithinShare({
        limit: { burst, perSecond },
        share,
        minutes: 30,
      })
      expect(usedFraction).toBeGreaterThanOrEqual(0.98)
    },
  )

  test.each(withShares(OTHER_BUCKETS))(
    'the limiter stays within our share if the refill is not documented: size $burst, $perSecond per second, share $share',
    ({ burst, perSecond, share }) => {
      const usedFraction = expectWithinShare({
        limit: { burst, perSecond },
        share,
        minutes: 30,
      })
      // The headers contain whole seconds. The limiter sends a request only if every instant of that second would allow
      // it. So it uses less of a fast refill, and of a small share.
      const minUsedFraction = perSecond >= 20 || share < 0.5 ? 0.2 : 0.7
      expect(usedFraction).toBeGreaterThanOrEqual(minUsedFraction)
    },
  )

  test.each(SHARES)(
    'the limiter uses at least the documented refill if the bucket is refilled faster: share %f',
    (share) => {
      const usedFraction = expectWithinShare({
        limit: { burst: 10, perSecond: 2 },
        share,
        minutes: 30,
      })
      // The documented refill of this size, 100 tokens per minute, is 0.83 of the real refill.
      expect(usedFraction).toBeGreaterThanOrEqual(0.8)
    },
  )

  test('the limiter never uses more than our share with any size, rate, latency and traffic of other callers', () => {
    const simulation = fc.record({
      burst: fc.oneof(fc.constantFrom(2, 10, 50), fc.integer({ min: 2, max: 100 })),
      perSecond: fc.double({ min: 0.1, max: 40, noNaN: true }),
      share: fc.double({ min: 0.05, max: 1, noNaN: true }),
      latencyMs: fc.double({ min: 0.1, max: 400, noNaN: true }),
      othersPerSecond: fc.constantFrom(0, 0.5, 3),
      seed: fc.nat(),
    })
    fc.assert(
      fc.property(simulation, ({ burst, share, ...traffic }) => {
        const perSecond = Math.max(traffic.perSecond, (documentedRefillPerMinute(burst) ?? 0) / 60)
        const sent = simulate({ minutes: 1, ...traffic, limit: { burst, perSecond }, share })
          // A refused request takes no token.
          .filter(({ allowed }) => allowed)
        const isWithinShare = ({ at }: SentRequest, index: number) =>
          index + 1 <= requestsAllowed(share, burst, perSecond, at) + 1e-6
        // After a minute, the limiter sends a request even if the headers do not allow it.
        return sent.every((request, index) => isWithinShare(request, index) || request.at >= 60_000)
      }),
      { numRuns: 150 },
    )
  })
})

describe('under a bucket that is refilled more slowly than documented (pitfalls 2, 13)', () => {
  test('no request is refused, and the limiter takes at most one token of the reserve for other callers', () => {
    const simulation = fc.record({
      burst: fc.constantFrom(2, 10, 50),
      slowness: fc.double({ min: 1.01, max: 40, noNaN: true }),
      share: fc.double({ min: 0.05, max: 1, noNaN: true }),
      latencyMs: fc.double({ min: 0.1, max: 400, noNaN: true }),
      seed: fc.nat(),
    })
    fc.assert(
      fc.property(simulation, ({ burst, slowness, ...traffic }) => {
        const perSecond = (documentedRefillPerMinute(burst) ?? 0) / 60 / slowness
        const slowSimulation = { limit: { burst, perSecond }, minutes: 5, ...traffic }
        const sent = simulate(slowSimulation)
        const minRemaining = Math.min(...sent.map(({ remaining }) => remaining))
        expect(sent.every(({ allowed }) => allowed)).toBe(true)
        expect(minRemaining + 1).toBeGreaterThan(reserveOf(slowSimulation) - 1)
      }),
      { numRuns: 150 },
    )
  })

  // The headers contain whole seconds. If a bucket takes at most two seconds longer to fill than documented, the
  // limiter does not detect the difference. So the first case does not include the size 2, which is documented to fill
  // within a second.
  test.each([
    ['half as fast', 2, [10, 50]],
    ['at a quarter of the rate', 4, [2, 10, 50]],
    ['at a tenth of the rate', 10, [2, 10, 50]],
  ])(
    'the limiter uses our share of the real refill if a bucket is refilled %s',
    (_how, slowness, sizes) => {
      for (const burst of sizes) {
        for (const share of SHARES) {
          const perSecond = (documentedRefillPerMinute(burst) ?? 0) / 60 / slowness
          const sent = simulate({ limit: { burst, perSecond }, share, minutes: 60 })
          const allowedCount = requestsAllowed(share, burst, perSecond, sent.at(-1)?.at ?? 0)
          expect(sent.length).toBeLessThanOrEqual(allowedCount)
          expect(sent.length).toBeGreaterThan(0.6 * allowedCount)
        }
      }
    },
  )
})

describe('under a fixed window (pitfall 13)', () => {
  test.each(withShares(WINDOWS))(
    'the limiter stays within our share of each window: $burst requests per $windowSeconds s, share $share',
    ({ burst, windowSeconds, share }) => {
      const sent = simulate({ limit: { burst, windowSeconds }, share, minutes: 30 })
      /** The number of our requests in each window. The key is the end of the window. */
      const requestsByWindow = new Map<number, number>()
      for (const { resetSeconds } of sent) {
        requestsByWindow.set(resetSeconds, (requestsByWindow.get(resetSeconds) ?? 0) + 1)
      }
      const allowed = Math.max(1, Math.floor(share * burst))
      expect(Math.max(...requestsByWindow.values())).toBeLessThanOrEqual(allowed)
      expect(sent.every((request) => request.allowed)).toBe(true)
      const windowEnds = [...requestsByWindow.keys()]
      const windowCount = (Math.max(...windowEnds) - Math.min(...windowEnds)) / windowSeconds + 1
      // If requests use only a small part of a short window, the limiter cannot distinguish the window from a bucket.
      const minFraction = windowSeconds <= 2 && share < 0.5 ? 0.2 : 0.95
      expect(sent.length / (windowCount * allowed)).toBeGreaterThanOrEqual(minFraction)
    },
  )
})

test.each([
  ['a token bucket', { burst: 10, perSecond: 2 }],
  ['a token bucket without a documented rate', { burst: 20, perSecond: 1 }],
  ['a fixed window', { burst: 20, windowSeconds: 10 }],
])(
  'the limiter sends fewer requests while other callers use %s, but at least one request per minute (pitfall 13)',
  (_what, limit) => {
    const share = 0.5
    const alone = simulate({ limit, share })
    const crowded = simulate({ limit, share, othersPerSecond: 4 })
    expect(crowded.length).toBeLessThan(alone.length)
    const intervalsMs = crowded.map(({ at }, index) => at - (crowded[index - 1]?.at ?? 0))
    // A minute, a second of waiting after a refusal, and a margin for the duration of the requests.
    expect(Math.max(...intervalsMs)).toBeLessThanOrEqual(61_100)
  },
)

test('a request takes its token when it is sent, so that requests in flight are counted', () => {
  const limiter = createRateLimiter(0.5)
  const response = { limit: 10, resetAt: EPOCH + 60_000, dateMs: EPOCH }
  limiter.recordSent(0)
  limiter.recordResponse({ ...response, remaining: 7, sentAt: 0, receivedAt: 5 })
  expect(limiter.readyAt()).toBeLessThanOrEqual(5)
  // Our share is half, so five of the ten tokens are reserved for other callers. Seven remain, so two more requests may
  // be sent. Their responses are not recorded.
  limiter.recordSent(6)
  expect(limiter.readyAt()).toBeLessThanOrEqual(6)
  limiter.recordSent(7)
  expect(limiter.readyAt()).toBeGreaterThan(1000)
})

describe('a changed limit', () => {
  /** Creates a limiter, and a function that records a request and its response one millisecond later. */
  const createLimiter = (share: number) => {
    const limiter = createRateLimiter(share)
    const send = (now: number, limit: number, remaining: number, resetAt: number) => {
      limiter.recordSent(now)
      const dateMs = EPOCH + Math.floor(now / 1000) * 1000
      const times = { dateMs, sentAt: now, receivedAt: now + 1 }
      limiter.recordResponse({ limit, remaining, resetAt: EPOCH + resetAt, ...times })
    }
    return { limiter, send }
  }

  test.each([[10], [20]])(
    'the limiter detects that a bucket of size %d is refilled more slowly',
    (size) => {
      const { limiter, send } = createLimiter(0.5)
      // The bucket is refilled with 10 tokens per second, then with one token in 20 seconds.
      for (let n = 0; n < 20; n++) send(n * 1000 + 850, size, size - 1, (n + 1) * 1000)
      for (let n = 0; n < 4; n++) send(20_000 + n, size, size - 1 - n, 40_000 + n * 20_000)
      expect(limiter.readyAt()).toBeGreaterThan(20_000 + 5_000)
    },
  )

  test('the limiter detects a bucket of another size', () => {
    const { limiter, send } = createLimiter(0.5)
    for (let n = 0; n < 5; n++) send(n, 50, 49 - n, 1000)
    expect(limiter.readyAt()).toBeLessThan(10)
    send(10, 10, 9, 1000)
    expect(limiter.readyAt()).toBeGreaterThan(1000)
  })
})

test('a request waits at most a minute, whatever the headers of the responses contain', () => {
  const number = fc.oneof(fc.integer({ min: 0, max: 200 }), fc.maxSafeNat())
  const response = fc.record({
    limit: fc.oneof(
      fc.integer({ min: 1, max: 200 }),
      fc.maxSafeNat().map((n) => n + 1),
    ),
    remaining: number,
    resetAt: fc.oneof(
      fc.constant(null),
      fc.integer({ min: -86_400, max: 86_400 }).map((s) => EPOCH + s * 1000),
    ),
    skewMs: fc.integer({ min: -100_000, max: 100_000 }),
    waitMs: fc.nat({ max: 5000 }),
    latencyMs: fc.nat({ max: 3000 }),
  })
  fc.assert(
    fc.property(
      fc.array(response, { maxLength: 60 }),
      fc.double({ min: 0.01, max: 1, noNaN: true }),
      (responses, share) => {
        const limiter = createRateLimiter(share)
        let now = 0
        return responses.every(({ skewMs, waitMs, latencyMs, ...headers }) => {
          now += waitMs
          limiter.recordSent(now)
          const dateMs = EPOCH + now + skewMs
          const remaining = Math.min(headers.remaining, headers.limit)
          const times = { dateMs, sentAt: now, receivedAt: now + latencyMs }
          limiter.recordResponse({ ...headers, remaining, ...times })
          now += latencyMs
          return limiter.readyAt() <= now + 60_000
        })
      },
    ),
    { numRuns: 500 },
  )
})
