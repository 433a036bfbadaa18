import { type Instant, readDateTime } from '../rules/instant.js'
import type { Policy } from '../rules/judge.js'
import type { FreshnessJson } from './wire.js'

/** How old the data is by now. */
export interface Freshness {
  asOf: Instant | null
  policy: Policy
  /** Age of the data in milliseconds; `Infinity` where the service does not know it. */
  ageMs(): number
}

/** Freshness as the service states it in a response or an event. */
export interface StatedFreshness {
  asOf: Instant | null
  policy: Policy
  /** Age at the time of sending, in milliseconds; `Infinity` where the service does not state it. */
  lagMs: number
}

/** Reads the freshness of a response or an event. Throws a `TypeError` on one without a policy or with an invalid instant. */
export function readFreshness({ as_of, lag_ms, policy }: FreshnessJson): StatedFreshness {
  if (policy !== 'session' && policy !== 'user') throw new TypeError('a response without a policy')
  const asOf = as_of === null ? null : readInstant(as_of)
  const isLag = asOf !== null && typeof lag_ms === 'number' && lag_ms >= 0
  return { asOf, policy, lagMs: isLag ? lag_ms : Number.POSITIVE_INFINITY }
}

/** Freshness that ages: `elapsedMs` returns the milliseconds since the data had the age `lagMs`. */
export function withAge(
  { asOf, policy, lagMs }: StatedFreshness,
  elapsedMs: () => number,
): Freshness {
  return { asOf, policy, ageMs: () => lagMs + elapsedMs() }
}

/** Reads an instant of the service. Throws a `TypeError` on an invalid one. */
export function readInstant(text: string): Instant {
  const at = readDateTime(text)
  if (at === null) throw new TypeError('a response with an invalid instant')
  return at
}
