import type { Instant } from '../rules/instant.js'
import type { StatedFreshness } from '../rules/last-logout-response.js'

/** How an `as_of` compares with the earlier values of `as_of`. */
export interface AsOfComparison {
  /** The value is before the previous one: the database was set back, or an `as_of` in the future was corrected. */
  wentBack: boolean
  /** No `as_of` that was received before is later: the service knows at least as many logouts as before. */
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
    // If the lag is unknown, the `as_of` may be ahead of the service's clock. Such a value is not compared with later ones.
    if (lagMs < Number.POSITIVE_INFINITY) latest = Math.max(latest, previous)
    return { wentBack, isLatest }
  }
}
