import { readEntry, readLogId } from '../rules/entry.js'
import { readDateTime } from '../rules/instant.js'
import type { Policy } from '../rules/judge.js'
import { storageTimeOf } from '../rules/log-id.js'
import { type Check, ok, warning } from './check.js'
import { formatDuration } from './format-duration.js'

/** Later than that, and it is not only Auth0's usual delay. */
const MAX_USUAL_DELAY_MS = 60_000

/** How many of some `slo` entries say whose logout they are. */
export interface Attribution {
  logouts: number
  withUser: number
  withSession: number
  /** They name neither, or no time, and cannot be used. */
  unattributable: number
}

/** Reads whom the `slo` entries are about, as the worker reads them. */
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

/** Whether the tenant's logouts name what the policy needs. */
export function checkLogouts(attribution: Attribution, policy: Policy): Check {
  const { logouts, withUser, withSession, unattributable } = attribution
  if (logouts === 0) {
    return warning(
      'logouts',
      'no slo entry is kept: it cannot be told what they name',
      'log out once through Auth0 (/oidc/logout or /v2/logout), and run this again: a logout that does not reach Auth0 is none',
    )
  }
  const share = (count: number) => `${Math.round((count / logouts) * 100)} %`
  const message = `of the newest ${logouts} slo entries ${share(withUser)} name a user, ${share(withSession)} a session`
  if (unattributable > 0) {
    return warning(
      'logouts',
      `${message}; ${unattributable} cannot be attributed, and end no token`,
      'see them in the table unattributable; they are logouts without a live session, as far as is known',
    )
  }
  if (policy === 'session' && withSession < logouts) {
    return warning(
      'logouts',
      `${message}; one without a session ends all sessions of its user`,
      'expect it, or say it with POLICY=user',
    )
  }
  return ok('logouts', message)
}

/** How late Auth0 stores what happened: a lower bound of how late a logout can count. */
export function checkStorageDelay(entries: unknown[]): Check {
  const delays = entries.flatMap(delayOf).sort((a, b) => a - b)
  const median = delays[Math.floor(delays.length / 2)]
  if (median === undefined) {
    return warning('storage delay', 'no entry tells', 'log in once, and run this again')
  }
  const longest = delays.at(-1) ?? median
  const message = `Auth0 stores entries ${formatDuration(median)} after they happen, at most ${formatDuration(longest)} (${delays.length} entries)`
  return median <= MAX_USUAL_DELAY_MS
    ? ok('storage delay', message)
    : warning(
        'storage delay',
        message,
        'see https://status.auth0.com: logouts count only once they are stored',
      )
}

function delayOf(entry: unknown): number[] {
  const storedAt = storageTimeOf(readLogId(entry))
  const happenedAt = readDateTime(Object(entry).date)
  return storedAt === null || happenedAt === null ? [] : [Math.max(0, storedAt - happenedAt)]
}
