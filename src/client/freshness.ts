import type { StatedFreshness } from '../rules/last-logout-response.js'

/** The freshness of data, with its current age. */
export interface Freshness extends StatedFreshness {
  /** Age of the data in milliseconds; `Infinity` if the service does not know the age. */
  ageMs(): number
}

/**
 * Adds the current age of the data to the freshness that the service has sent.
 *
 * @param elapsedMs Returns the milliseconds since the service sent the freshness.
 */
export function withAge(stated: StatedFreshness, elapsedMs: () => number): Freshness {
  const { asOf, policy, lagMs } = stated
  return { asOf, policy, lagMs, ageMs: () => lagMs + elapsedMs() }
}
