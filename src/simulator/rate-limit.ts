/**
 * A limit of `burst` requests: either a token bucket, which is refilled steadily, or a fixed window, after which the
 * full number of requests is allowed again.
 */
export type SimulatedRateLimit = TokenBucket | FixedWindow

interface TokenBucket {
  burst: number
  /** The refill rate in requests per second. `Infinity`: no request is refused. */
  perSecond: number
}

/** Consecutive windows of time. In each window, `burst` requests are allowed. */
interface FixedWindow {
  burst: number
  windowSeconds: number
}

/** The state of the limit after a request, as in Auth0's headers. */
export interface RateLimitState {
  allowed: boolean
  limit: number
  remaining: number
  /** When the bucket is full again, or when the window ends, in Unix seconds. */
  resetSeconds: number
}

/**
 * Creates a rate limit. Each call of the returned function counts one request.
 *
 * @throws `TypeError` if a number of the limit is missing or invalid.
 */
export function simulateRateLimit(
  rateLimit: SimulatedRateLimit,
  now: () => number,
): () => RateLimitState {
  const { burst } = rateLimit
  const rate =
    'perSecond' in rateLimit
      ? { perSecond: rateLimit.perSecond }
      : { windowSeconds: rateLimit.windowSeconds }
  for (const [name, value] of Object.entries({ burst, ...rate })) {
    if (!(value > 0)) {
      const advice = 'set burst and either perSecond or windowSeconds, each above 0'
      throw new TypeError(`the rate limit is invalid, because ${name} is ${value}: ${advice}`)
    }
  }
  return 'perSecond' in rateLimit ? tokenBucket(rateLimit, now) : fixedWindow(rateLimit, now)
}

function tokenBucket({ burst, perSecond }: TokenBucket, now: () => number): () => RateLimitState {
  let tokens = burst
  let refilledAtMs = now()
  return () => {
    const nowMs = now()
    const refilled = perSecond === Infinity ? burst : ((nowMs - refilledAtMs) / 1000) * perSecond
    tokens = Math.min(burst, tokens + Math.max(0, refilled))
    refilledAtMs = nowMs
    const allowed = tokens >= 1
    if (allowed) tokens -= 1
    const resetSeconds = Math.ceil(nowMs / 1000 + (burst - tokens) / perSecond)
    return { allowed, limit: burst, remaining: Math.floor(tokens), resetSeconds }
  }
}

function fixedWindow(
  { burst, windowSeconds }: FixedWindow,
  now: () => number,
): () => RateLimitState {
  let used = 0
  let resetSeconds = 0
  return () => {
    const seconds = now() / 1000
    if (seconds >= resetSeconds) {
      used = 0
      resetSeconds = (Math.floor(seconds / windowSeconds) + 1) * windowSeconds
    }
    const allowed = used < burst
    if (allowed) used += 1
    return { allowed, limit: burst, remaining: burst - used, resetSeconds }
  }
}
