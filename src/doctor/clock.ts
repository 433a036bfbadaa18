import { MAX_CLOCK_AHEAD_MS } from '../rules/freshness.js'
import { type Check, failure, ok, warning } from './check.js'
import { formatDuration } from './format-duration.js'

/**
 * Maximum difference between two clocks that is not reported, in milliseconds. The header `Date` contains whole
 * seconds.
 */
const MAX_SKEW_MS = 2_000

/** The times of one request, as instants. */
export interface ClockReading {
  /** When the request was sent, by the clock of this machine. */
  sentAt: number
  /** When the response was received, by the clock of this machine. */
  receivedAt: number
  /**
   * The header `Date` of the response, which is Auth0's time in whole seconds; `null`: the response has no such header.
   */
  serverAt: number | null
}

/** Compares the clock of this machine with Auth0's clock. No stored value depends on the clock of this machine. */
export function checkClock(reading: ClockReading): Check {
  const skewMs = skewOf(reading, 0)
  if (skewMs === null) {
    return warning(
      'clock',
      "Auth0's responses have no Date header",
      'find the proxy between here and Auth0 that removes it',
    )
  }
  if (Math.abs(skewMs) <= MAX_SKEW_MS) return ok('clock', 'agrees with the clock of Auth0')
  return warning(
    'clock',
    `is ${describeSkew(skewMs)} the clock of Auth0: only log lines, and instants that you enter, depend on it`,
    'synchronize the clock of this machine (NTP)',
  )
}

/**
 * Compares the database's clock with Auth0's clock. The database's clock measures the freshness (how old the data is),
 * and limits the instant of each stored logout.
 *
 * @param databaseAheadMs How far the database's clock is ahead of the clock of this machine, in milliseconds; `null`:
 *   unknown.
 */
export function checkDatabaseClock(reading: ClockReading, databaseAheadMs: number | null): Check {
  const name = 'database clock'
  const skewMs = databaseAheadMs === null ? null : skewOf(reading, databaseAheadMs)
  if (skewMs === null) {
    return { name, status: 'skipped', message: 'the time of the database or of Auth0 is unknown' }
  }
  if (Math.abs(skewMs) <= MAX_SKEW_MS) return ok(name, 'agrees with the clock of Auth0')
  const message = `is ${describeSkew(skewMs)} the clock of Auth0`
  const advice = 'synchronize the clock of the database server (NTP)'
  if (Math.abs(skewMs) <= MAX_CLOCK_AHEAD_MS) {
    return warning(
      name,
      `${message}: lags and reported logouts are wrong by this difference`,
      advice,
    )
  }
  return failure(
    name,
    skewMs < 0
      ? `${message}: logouts are stored too early by this difference, and freshness does not advance`
      : `${message}: reported logouts and \`floor raise now\` end tokens of later logins, and every lag is too long by this difference`,
    advice,
  )
}

/**
 * Returns the minimum difference between a clock and Auth0's clock, in milliseconds. The result is positive if the
 * clock is ahead, negative if the clock is behind, and `null` if the difference is unknown.
 *
 * @param aheadMs How far the clock is ahead of the clock of this machine, in milliseconds.
 */
function skewOf({ sentAt, receivedAt, serverAt }: ClockReading, aheadMs: number): number | null {
  if (serverAt === null) return null
  const ahead = sentAt + aheadMs - (serverAt + 1_000)
  const behind = serverAt - (receivedAt + aheadMs)
  return ahead > 0 ? ahead : -Math.max(0, behind)
}

function describeSkew(skewMs: number): string {
  return `${formatDuration(Math.abs(skewMs))} ${skewMs > 0 ? 'ahead of' : 'behind'}`
}
