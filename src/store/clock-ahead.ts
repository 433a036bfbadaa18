import { LastLogoutError } from '../errors.js'
import { type Instant, toDateTime } from '../rules/instant.js'

/**
 * The error for an instant of Auth0's clock that lies too far ahead of the database's. Where the database
 * is behind, logouts are stored too early, and what is known must not be called fresh.
 */
export function clockAhead(at: Instant): LastLogoutError {
  return new LastLogoutError(
    'CLOCK_AHEAD',
    `the clock of Auth0 (${toDateTime(at)}) is more than a minute ahead of that of the database: freshness does not advance. Synchronize the clock of the database server (NTP); \`last-logout doctor\` shows which clock is wrong`,
  )
}
