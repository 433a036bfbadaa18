import type { Check } from './check.js'
import { failure, ok, warning } from './check.js'
import { toDuration } from './duration.js'

const NEEDED = ['read:logs', 'read:logs_users']
/** What `action status` needs, and this program. */
const USEFUL = ['read:actions']
const GRANT =
  'Dashboard > Applications > the machine-to-machine application > APIs > Auth0 Management API'

/** Up to here clocks may differ, in milliseconds: with the whole seconds of `Date`, nobody notices. */
const CLOCK_OK_MS = 2_000
/** From here on, reported logouts are refused as lying in the future. */
const CLOCK_BROKEN_MS = 60_000

/** Whether the token may do what is needed, and no more. `null`: the grant did not say. */
export function examineScopes(scopes: string[] | null): Check {
  if (scopes === null) {
    return warning('scopes', 'the token does not name its scopes', `see ${GRANT}`)
  }
  if (!scopes.includes('read:logs')) {
    return failure('scopes', `read:logs is missing (${list(scopes)})`, `grant it: ${GRANT}`)
  }
  if (!scopes.includes('read:logs_users')) {
    return warning(
      'scopes',
      'read:logs_users is missing: entries may come without their user',
      `grant it: ${GRANT}`,
    )
  }
  const more = scopes.filter((scope) => ![...NEEDED, ...USEFUL].includes(scope))
  if (more.length === 0) return ok('scopes', list(scopes))
  return warning(
    'scopes',
    `the token may do more than is needed: ${list(more)}`,
    `withdraw it, as whoever gets hold of AUTH0_CLIENT_SECRET has it too: ${GRANT}. For \`action deploy\`, grant what it needs only while it runs, or to another application`,
  )
}

function list(scopes: string[]): string {
  const shown = scopes.slice(0, 8).join(', ') || 'none'
  return scopes.length > 8 ? `${shown} and ${scopes.length - 8} more` : shown
}

/** When a request was sent and answered by our clock, and answered by Auth0's, in whole seconds. */
export interface ClockReading {
  sentAt: number
  receivedAt: number
  /** `null`: the answer had no `Date`. */
  serverAt: number | null
}

/** Whether our clock agrees with Auth0's. */
export function examineClock({ sentAt, receivedAt, serverAt }: ClockReading): Check {
  if (serverAt === null) {
    return warning('clock', "Auth0's answers have no Date", 'see what is between here and Auth0')
  }
  const ahead = Math.max(0, sentAt - (serverAt + 1_000))
  const behind = Math.max(0, serverAt - receivedAt)
  const skewMs = Math.max(ahead, behind)
  if (skewMs <= CLOCK_OK_MS) return ok('clock', 'agrees with that of Auth0')
  const message = `is ${toDuration(skewMs)} ${ahead > 0 ? 'ahead of' : 'behind'} that of Auth0`
  const advice = 'synchronize the clock of this machine (NTP)'
  return skewMs <= CLOCK_BROKEN_MS
    ? warning('clock', `${message}: the lag that is shown is wrong by that`, advice)
    : failure(
        'clock',
        `${message}: reported logouts are refused or come too late, and the lag is wrong`,
        advice,
      )
}
