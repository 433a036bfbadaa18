import { LastLogoutError } from '../errors.js'
import { type Instant, toDateTime } from '../rules/instant.js'

/**
 * Creates the error for an instant of Auth0's clock that is more than a minute ahead of the database's clock. A logout
 * that is ahead of the database's clock is stored with the time of that clock. While that clock is behind, the stored
 * instants are too early, so the data must not count as fresh.
 */
export function clockAheadError(at: Instant): LastLogoutError {
  return new LastLogoutError(
    'CLOCK_AHEAD',
    `the clock of Auth0 (${toDateTime(at)}) is more than a minute ahead of the clock of the database, so freshness does not advance: synchronize the clock of the database server (NTP); \`last-logout doctor\` shows which clock is wrong`,
  )
}
