import type { Config } from '../config/config.js'
import { inspectNotifications, type NotificationState } from '../store/inspect.js'
import { type Check, describeError, failure, ok, skipped, warning } from './check.js'

const NAME = 'notifications'

/** Share of the notification queue from which PostgreSQL warns in its log. At 1, every write fails. */
const HIGH_USAGE = 0.5

const FIND_SESSION =
  "SELECT pid, usename, xact_start FROM pg_stat_activity WHERE state LIKE 'idle in transaction%' ORDER BY xact_start"

/** Checks that the change feed is notified of changes, and how full the notification queue of PostgreSQL is. */
export async function examineNotifications(
  { database }: Config,
  databaseUrl: string | null,
): Promise<Check[]> {
  const url = database.directUrl ?? databaseUrl
  if (url === null) return skipped([NAME], 'there is no database')
  try {
    return [toCheck(await inspectNotifications(url))]
  } catch (error) {
    const message = `cannot be checked (${describeError(error)})`
    return [failure(NAME, message, 'check DATABASE_DIRECT_URL')]
  }
}

function toCheck({ isReceiving, queueUsage }: NotificationState): Check {
  const usage = `the notification queue of PostgreSQL is ${Math.round(queueUsage * 100)} % full`
  if (queueUsage >= HIGH_USAGE) {
    return warning(
      NAME,
      `${usage}. When it is full, every write fails`,
      `end the session that listens and has been in a transaction the longest: \`${FIND_SESSION}\`, then \`SELECT pg_terminate_backend(<pid>)\``,
    )
  }
  if (isReceiving) return ok(NAME, `received; ${usage}`)
  return warning(
    NAME,
    `not received, since a connection pooler is in between: the change feed polls every second; ${usage}`,
    'set DATABASE_DIRECT_URL to the PostgreSQL server itself',
  )
}
