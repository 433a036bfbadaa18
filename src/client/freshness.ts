import type { StatedFreshness } from '../rules/last-logout-response.js'

/** How fresh the data is now. */
export interface Freshness extends Pick<StatedFreshness, 'asOf' | 'policy'> {
  /** Age of the data in milliseconds; `Infinity` if the service does not know it. */
  ageMs(): number
}

/** Freshness that ages. `elapsedMs` returns the milliseconds since the data had the age `lagMs`. */
export function withAge(
  { asOf, policy, lagMs }: StatedFreshness,
  elapsedMs: () => number,
): Freshness {
  return { asOf, policy, ageMs: () => lagMs + elapsedMs() }
}
