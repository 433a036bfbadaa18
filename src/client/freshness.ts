import type { Instant } from '../rules/instant.js'
import type { Policy } from '../rules/judge.js'
import type { FreshnessJson } from './wire.js'

/** How fresh the service's answer was when it came. */
export interface Freshness {
  asOf: Instant | null
  policy: Policy
  /**
   * How old it is by now, in milliseconds; `Infinity` before the first catch-up. Counted by a clock
   * that nobody sets, and never less than the time of day says: the one stands still while a machine
   * sleeps and does not see what was long on its way, the other can be set back.
   */
  ageMs(): number
}

/** Reads the freshness of an answer that was asked for at `startedAt`, or has come just now; `now` is the clock that nobody sets. */
export function readFreshness(
  json: FreshnessJson,
  startedAt = performance.now(),
  now: () => number = () => performance.now(),
): Freshness {
  const { as_of, lag_ms, policy } = json
  if (policy !== 'session' && policy !== 'user') throw new TypeError('an answer without a policy')
  const asOf = as_of === null ? null : readInstant(as_of)
  const isLag = asOf !== null && typeof lag_ms === 'number' && lag_ms >= 0
  const lagMs = isLag ? lag_ms : Number.POSITIVE_INFINITY
  const ageMs = () => Math.max(lagMs + now() - startedAt, Date.now() - (asOf ?? 0))
  return { asOf, policy, ageMs }
}

/** Reads an instant of the service. */
export function readInstant(text: string): Instant {
  const at = Date.parse(text)
  if (Number.isNaN(at)) throw new TypeError('an answer with an instant that is none')
  return at
}
