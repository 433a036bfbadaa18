import { LastLogoutError } from '../errors.js'
import { type Instant, toDateTime } from '../rules/instant.js'

/**
 * Creates a `CLOCK_AHEAD` error for an instant of Auth0's clock that is too far ahead of the database's clock.
 * While the database's clock is behind, logouts are stored with instants that are too early, so the data must not
 * be reported as fresh.
 */
export function clockAheadError(at: Instant): LastLogoutError {
  return new LastLogoutError(
    'CLOCK_AHEAD',
    `the clock of Auth0 (${toDateTime(at)}) is more than a minute ahead of the clock of the database, so freshness does not advance: synchronize the clock of the database server (NTP); \`last-logout doctor\` shows which clock is wrong`,
  )
}
