import { toDateTime } from '../rules/instant.js'
import type { Clocks } from './clocks.js'
import { LastLogoutClientError } from './errors.js'
import type { Freshness } from './freshness.js'
import type { ClientSettings } from './options.js'
import { createOutageReport } from './outage-report.js'

/** Returns whether data is stale: older than `maxStalenessMs`. Data without a freshness (`null`) is stale. */
export type StalenessCheck = (freshness: Freshness | null) => boolean

/**
 * Creates a staleness check for the data of one source, such as the feed. When the data becomes stale, the check calls
 * `onError` with the code `STALE` and the likely cause. It calls `onError` again only after the data was fresh for a
 * minute.
 *
 * @param delayCause The likely cause if the data was fresh when the service sent the data.
 */
export function createStalenessCheck(
  { maxStalenessMs, onError }: Pick<ClientSettings, 'maxStalenessMs' | 'onError'>,
  clocks: Pick<Clocks, 'wall'>,
  delayCause: string,
): StalenessCheck {
  const report = createOutageReport(onError, clocks)
  return (freshness) => {
    if (freshness === null) return true
    const ageMs = freshness.ageMs()
    if (ageMs <= maxStalenessMs) {
      report.recordSuccess()
      return false
    }
    report.recordFailure(staleError(freshness, { ageMs, maxStalenessMs, delayCause }))
    return true
  }
}

function staleError(
  freshness: Freshness,
  {
    ageMs,
    maxStalenessMs,
    delayCause,
  }: { ageMs: number; maxStalenessMs: number; delayCause: string },
): LastLogoutClientError {
  const age =
    ageMs < Number.POSITIVE_INFINITY ? `${Math.round(ageMs / 1000)} s old` : 'of unknown age'
  const cause = causeAtService(freshness, maxStalenessMs) ?? delayCause
  return new LastLogoutClientError(
    'STALE',
    `the logouts are ${age}, more than maxStalenessMs (${maxStalenessMs / 1000} s), and checks return "unknown": ${cause}`,
  )
}

/** Returns the cause of the staleness; `null`: the data was fresh when the service sent it. */
function causeAtService({ asOf, lagMs }: Freshness, maxStalenessMs: number): string | null {
  if (asOf === null) {
    return 'the service has not read the tenant log to its end yet. See "last-logout status".'
  }
  if (lagMs === Number.POSITIVE_INFINITY) {
    return `the service does not know the age of its data (as_of ${toDateTime(asOf)}). Check the clock of its database.`
  }
  if (lagMs <= maxStalenessMs) return null
  return `the service has not read the tenant log since ${toDateTime(asOf)}. Check with "last-logout status" that a worker is running.`
}
