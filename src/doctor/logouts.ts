import { readEntry, readLogId } from '../rules/entry.js'
import { readDateTime } from '../rules/instant.js'
import type { Policy } from '../rules/judge.js'
import { storageTimeOf } from '../rules/log-id.js'
import { type Check, ok, warning } from './check.js'
import { formatDuration } from './format-duration.js'

/** Maximum median delay that passes the check, in milliseconds. The usual delay of Auth0 is shorter. */
const MAX_USUAL_DELAY_MS = 60_000

/** How many `slo` entries name a user or a session. Auth0 writes an `slo` entry for each logout. */
export interface Attribution {
  logouts: number
  withUser: number
  withSession: number
  /** Number of entries that cannot be used: they have no instant, or they name neither a user nor a session. */
  unattributable: number
}

/** Counts the `slo` entries that name a user or a session. Parses the entries like the worker. */
export function countAttribution(entries: unknown[]): Attribution {
  const readings = entries.map((entry) => readEntry(entry, new Set(['slo'])))
  const events = readings.flatMap((reading) => (reading.kind === 'event' ? reading.event : []))
  return {
    logouts: entries.length,
    withUser: events.filter(({ userId }) => userId !== null).length,
    withSession: events.filter(({ sessionId }) => sessionId !== null).length,
    unattributable: readings.filter(({ kind }) => kind === 'unattributable').length,
  }
}

/** Checks that the logout entries contain what the policy needs. */
export function checkLogouts(attribution: Attribution, policy: Policy): Check {
  const { logouts, withUser, withSession, unattributable } = attribution
  if (logouts === 0) {
    return warning(
      'logouts',
      'no slo entry is retained, so it is unknown what they name',
      'log out once through Auth0 (/oidc/logout or /v2/logout), then run this command again. A logout that does not reach Auth0 has no effect',
    )
  }
  const share = (count: number) => `${Math.round((count / logouts) * 100)} %`
  const message = `of the newest ${logouts} slo entries ${share(withUser)} name a user, ${share(withSession)} a session`
  if (unattributable > 0) {
    return warning(
      'logouts',
      `${message}; ${unattributable} cannot be attributed and end no token`,
      'read them in the table unattributable. As far as is known, they are logouts without a live session',
    )
  }
  if (policy === 'session' && withSession < logouts) {
    return warning(
      'logouts',
      `${message}; a logout without a session ends the tokens of all sessions of its user`,
      'accept this, or set POLICY=user: then every logout does this',
    )
  }
  return ok('logouts', message)
}

/**
 * Checks the delay between an event and the storage of its entry by Auth0. A logout takes effect at the earliest after
 * this delay.
 */
export function checkStorageDelay(entries: unknown[]): Check {
  const delays = entries.flatMap(delayOf).sort((a, b) => a - b)
  const median = delays[Math.floor(delays.length / 2)]
  if (median === undefined) {
    return warning(
      'storage delay',
      'no entry states it',
      'log in once, then run this command again',
    )
  }
  const longest = delays.at(-1) ?? median
  const message = `Auth0 stores entries ${formatDuration(median)} after they happen, at most ${formatDuration(longest)} (${delays.length} entries)`
  return median <= MAX_USUAL_DELAY_MS
    ? ok('storage delay', message)
    : warning(
        'storage delay',
        message,
        'see https://status.auth0.com: a logout counts only after Auth0 has stored it',
      )
}

function delayOf(entry: unknown): number[] {
  const storedAt = storageTimeOf(readLogId(entry))
  const happenedAt = readDateTime(Object(entry).date)
  return storedAt === null || happenedAt === null ? [] : [Math.max(0, storedAt - happenedAt)]
}
