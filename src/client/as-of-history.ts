import type { Instant } from '../rules/instant.js'
import type { StatedFreshness } from '../rules/last-logout-response.js'

/** How an `as_of` compares with the earlier values of `as_of`. */
export interface AsOfStep {
  /** It is before the previous value: the database was set back, or an `as_of` that was ahead was corrected. */
  wentBack: boolean
  /** No earlier value is after it: the service knows at least as many logouts as before. */
  isLatest: boolean
}

/** Creates a function that compares each freshness of the feed with the earlier ones. */
export function createAsOfHistory(): (stated: StatedFreshness) => AsOfStep {
  let previous: Instant = 0
  let max: Instant = 0
  return ({ asOf, lagMs }) => {
    const wentBack = (asOf ?? 0) < previous
    const isLatest = asOf !== null && asOf >= max
    previous = asOf ?? 0
    // An `as_of` without a known lag may be ahead of the service's clock, and is not comparable.
    if (lagMs < Number.POSITIVE_INFINITY) max = Math.max(max, previous)
    return { wentBack, isLatest }
  }
}
