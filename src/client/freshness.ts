import type { Instant } from '../rules/instant.js'
import type { Policy } from '../rules/judge.js'
import type { FreshnessJson } from './wire.js'

/** How fresh the service's answer was when it came. */
export interface Freshness {
  asOf: Instant | null
  policy: Policy
  /** How old it is by now, in milliseconds, by a clock that nobody sets; `Infinity` before the first catch-up. */
  ageMs(): number
}

/** Reads the freshness of an answer that was asked for at `startedAt`, or has come just now. */
export function readFreshness(json: FreshnessJson, startedAt = performance.now()): Freshness {
  const { as_of, lag_ms, policy } = json
  if (policy !== 'session' && policy !== 'user') throw new TypeError('an answer without a policy')
  const asOf = as_of === null ? null : readInstant(as_of)
  const lagMs = asOf === null || lag_ms === null ? Number.POSITIVE_INFINITY : lag_ms
  return { asOf, policy, ageMs: () => lagMs + performance.now() - startedAt }
}

/** Reads an instant of the service. */
export function readInstant(text: string): Instant {
  const at = Date.parse(text)
  if (Number.isNaN(at)) throw new TypeError('an answer with an instant that is none')
  return at
}
