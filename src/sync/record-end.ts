import { LastLogoutError } from '../errors.js'
import type { LastLogoutStore } from '../ports.js'
import { type Instant, toDateTime } from '../rules/instant.js'

/**
 * Records that the log has been read to its end, as Auth0 gave it at `askedAt`. Throws `CLOCK_AHEAD` where
 * that lies too far ahead of the database's clock: with a database whose clock is behind, logouts are
 * stored too early, and what is known must not be called fresh.
 */
export async function recordEnd(
  store: LastLogoutStore,
  checkpoint: string | null,
  askedAt: Instant,
): Promise<void> {
  if (await store.storeCaughtUp(checkpoint, askedAt)) return
  throw new LastLogoutError(
    'CLOCK_AHEAD',
    `the clock of Auth0 (${toDateTime(askedAt)}) is more than a minute ahead of that of the database: freshness does not advance. Synchronize the clock of the database server (NTP); \`last-logout doctor\` shows which clock is wrong`,
  )
}
