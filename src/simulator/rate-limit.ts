/** A bucket of `burst` requests that is refilled, steadily or all at once. */
export type RateLimit = TokenBucket | FixedWindow

interface TokenBucket {
  burst: number
  /** `Infinity` never refuses. */
  perSecond: number
}

/** Windows follow one another by the clock: `burst` requests in each. */
interface FixedWindow {
  burst: number
  windowSeconds: number
}

/** The bucket after one request, as Auth0's headers tell it. */
export interface RateLimitState {
  allowed: boolean
  limit: number
  remaining: number
  /** UNIX seconds at which the bucket is full again. */
  resetSeconds: number
}

/** Takes one request from the bucket by each call of the returned function. */
export function rateLimiter(rateLimit: RateLimit, now: () => number): () => RateLimitState {
  return 'perSecond' in rateLimit ? tokenBucket(rateLimit, now) : fixedWindow(rateLimit, now)
}

function tokenBucket({ burst, perSecond }: TokenBucket, now: () => number): () => RateLimitState {
  let tokens = burst
  let refilledAtMs = now()
  return () => {
    const nowMs = now()
    const refill = perSecond === Infinity ? burst : ((nowMs - refilledAtMs) / 1000) * perSecond
    tokens = Math.min(burst, tokens + Math.max(0, refill))
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
