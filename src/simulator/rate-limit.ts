/** A limit of `burst` requests that is refilled steadily (token bucket) or all at once (fixed window). */
export type SimulatedRateLimit = TokenBucket | FixedWindow

interface TokenBucket {
  burst: number
  /** Refill in requests a second. `Infinity`: no request is refused. */
  perSecond: number
}

/** Consecutive windows of the clock, each with `burst` requests. */
interface FixedWindow {
  burst: number
  windowSeconds: number
}

/** The state after one request, as in the headers of Auth0. */
export interface RateLimitState {
  allowed: boolean
  limit: number
  remaining: number
  /** When the bucket is full again, in Unix seconds. */
  resetSeconds: number
}

/** Creates a rate limit. Each call of the returned function counts one request. */
export function simulateRateLimit(
  rateLimit: SimulatedRateLimit,
  now: () => number,
): () => RateLimitState {
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
