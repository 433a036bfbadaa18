import type { Instant } from '../rules/instant.js'
import type { StatedFreshness } from '../rules/last-logout-response.js'

/**
 * The comparison of an `as_of` with the earlier values. The service has read all log entries that Auth0 stored before
 * `as_of`.
 */
export interface AsOfComparison {
  /** Whether the value is before the previous value. Then the database may have been restored from a backup. */
  wentBack: boolean
  /** Whether no earlier value is later. Then the service has read at least as much of the log as before. */
  isLatest: boolean
}

/** Creates a function that compares the `as_of` of each freshness event with the earlier values. */
export function createAsOfHistory(): (stated: StatedFreshness) => AsOfComparison {
  let previous: Instant = 0
  let latest: Instant = 0
  return ({ asOf, lagMs }) => {
    const wentBack = (asOf ?? 0) < previous
    const isLatest = asOf !== null && asOf >= latest
    previous = asOf ?? 0
    // If the lag is unknown, `asOf` may be ahead of the service's clock. Later values need not reach this `asOf`.
    if (lagMs < Number.POSITIVE_INFINITY) latest = Math.max(latest, previous)
    return { wentBack, isLatest }
  }
}
