/** A bucket of `burst` requests that refills at `perSecond`. */
export interface RateLimit {
  burst: number
  /** `Infinity` never refuses. */
  perSecond: number
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
export function rateLimiter(
  { burst, perSecond }: RateLimit,
  now: () => number,
): () => RateLimitState {
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
