import type { LastLogoutError } from '../errors.js'
import { isAhead } from '../rules/freshness.js'
import type { Instant } from '../rules/instant.js'
import { clockAhead } from './clock-ahead.js'
import type { Executor } from './database.js'
import { readClock, type SqlClock, timestampOf } from './epoch.js'
import { advanceAsOf } from './tenant-row.js'

/** What is stored when the end of the log has been read. */
interface CaughtUp {
  checkpoint: string | null
  askedAt: Instant
}

/**
 * Stores that the end of the log has been read.
 * Freshness does not advance while a part of the sweep is unread.
 *
 * @returns A `CLOCK_AHEAD` error to be thrown: throwing it here would roll back the write.
 */
export async function storeCaughtUp(
  tx: Executor,
  clock: SqlClock,
  { checkpoint, askedAt }: CaughtUp,
): Promise<LastLogoutError | null> {
  const [row] = await tx.$queryRaw<{ now: Instant }[]>`
    UPDATE ${tx.tables.tenant} SET last_poll_at = ${timestampOf(clock())},
      as_of = CASE WHEN sweep_to IS NULL THEN ${advanceAsOf(askedAt, clock)} ELSE as_of END
    WHERE checkpoint IS NOT DISTINCT FROM ${checkpoint}
    RETURNING ${readClock(clock)} AS now`
  return row !== undefined && isAhead(askedAt, row.now) ? clockAhead(askedAt) : null
}
