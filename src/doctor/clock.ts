import { MAX_CLOCK_AHEAD_MS } from '../rules/freshness.js'
import { type Check, failure, ok, warning } from './check.js'
import { formatDuration } from './format-duration.js'

/** Up to here clocks may differ, in milliseconds: `Date` has whole seconds. */
const MAX_SKEW_MS = 2_000

/** When a request was sent and answered by our clock, and answered by Auth0's, in whole seconds. */
export interface ClockReading {
  sentAt: number
  receivedAt: number
  /** `null`: the answer had no `Date`. */
  serverAt: number | null
}

/** Whether the clock of this machine agrees with Auth0's. Nothing that is stored depends on it. */
export function checkClock(reading: ClockReading): Check {
  const skewMs = skewOf(reading, 0)
  if (skewMs === null) {
    return warning('clock', "Auth0's answers have no Date", 'see what is between here and Auth0')
  }
  if (Math.abs(skewMs) <= MAX_SKEW_MS) return ok('clock', 'agrees with that of Auth0')
  return warning(
    'clock',
    `is ${describeSkew(skewMs)} that of Auth0: only log lines and times that are typed in depend on it`,
    'synchronize the clock of this machine (NTP)',
  )
}

/**
 * Whether the clock of the database agrees with Auth0's. It decides how fresh what is known is, and no
 * logout is stored later than it.
 *
 * @param databaseAheadMs As in `TenantOptions`.
 */
export function checkDatabaseClock(reading: ClockReading, databaseAheadMs: number | null): Check {
  const name = 'database clock'
  const skewMs = databaseAheadMs === null ? null : skewOf(reading, databaseAheadMs)
  if (skewMs === null) {
    return { name, status: 'skipped', message: 'the database or Auth0 does not tell its time' }
  }
  if (Math.abs(skewMs) <= MAX_SKEW_MS) return ok(name, 'agrees with that of Auth0')
  const message = `is ${describeSkew(skewMs)} that of Auth0`
  const advice = 'synchronize the clock of the database server (NTP)'
  if (Math.abs(skewMs) <= MAX_CLOCK_AHEAD_MS) {
    return warning(name, `${message}: lags and reported logouts are wrong by that`, advice)
  }
  return failure(
    name,
    skewMs < 0
      ? `${message}: logouts are stored that much too early, and freshness does not advance`
      : `${message}: reported logouts and \`floor raise now\` end tokens of later logins, and every lag is that much too long`,
    advice,
  )
}

/** How far a clock that is `aheadMs` ahead of this machine's is ahead of Auth0's at least; negative: behind. */
function skewOf({ sentAt, receivedAt, serverAt }: ClockReading, aheadMs: number): number | null {
  if (serverAt === null) return null
  const ahead = sentAt + aheadMs - (serverAt + 1_000)
  const behind = serverAt - (receivedAt + aheadMs)
  return ahead > 0 ? ahead : -Math.max(0, behind)
}

function describeSkew(skewMs: number): string {
  return `${formatDuration(Math.abs(skewMs))} ${skewMs > 0 ? 'ahead of' : 'behind'}`
}
