import type { Config } from '../config/config.js'
import { isSameDatabase } from '../service/same-database.js'
import { inspectNotifications, readNotificationUsage } from '../store/inspect.js'
import { type Check, describeError, failure, ok, skipped, warning } from './check.js'

const NAME = 'notifications'

/** PostgreSQL logs warnings when this fraction of the notification queue is used. */
const HIGH_USAGE = 0.5

/**
 * When this fraction of the notification queue is used, the next notification may not fit. Every write sends a
 * notification, so writes can then fail.
 */
const FULL_USAGE = 0.95

const FIND_SESSION =
  "SELECT pid, usename, xact_start FROM pg_stat_activity WHERE state LIKE 'idle in transaction%' ORDER BY xact_start"

/** Checks that notifications reach the change feed, and that PostgreSQL's notification queue is not nearly full. */
export async function checkNotifications(
  { database }: Config,
  databaseUrl: string | null,
): Promise<Check[]> {
  const { directUrl } = database
  const url = directUrl ?? databaseUrl
  if (url === null) return skipped([NAME], 'there is no database')
  try {
    const usage = await readNotificationUsage(url)
    if (usage >= HIGH_USAGE) return [toQueueUsageCheck(usage)]
    return [await checkDelivery(url, databaseUrl ?? url, usage)]
  } catch (error) {
    const message = `cannot be checked (${describeError(error)})`
    const variable = directUrl === undefined ? 'DATABASE_URL' : 'DATABASE_DIRECT_URL'
    return [failure(NAME, message, `check ${variable}`)]
  }
}

function toQueueUsageCheck(usage: number): Check {
  const report = usage < FULL_USAGE ? warning : failure
  return report(
    NAME,
    `${describeUsage(usage)}. When it is full, every write fails`,
    `end the session that listens and has been in a transaction the longest: \`${FIND_SESSION}\`, then \`SELECT pg_terminate_backend(<pid>)\`; then run this again, which frees the queue`,
  )
}

/**
 * @param url The URL of the connection that listens.
 * @param senderUrl The URL through which the service writes.
 */
async function checkDelivery(url: string, senderUrl: string, usage: number): Promise<Check> {
  if (await inspectNotifications(url)) {
    return senderUrl === url || (await isSameDatabase(senderUrl, url))
      ? ok(NAME, `received; ${describeUsage(usage)}`)
      : failure(
          NAME,
          'DATABASE_DIRECT_URL leads to another database than DATABASE_URL: notifications of writes are not received, and `last-logout migrate` changes the other database',
          'correct DATABASE_DIRECT_URL, so that both lead to the same database of the same server',
        )
  }
  return warning(
    NAME,
    `not received, since a connection pooler is in between: the change feed polls every second; ${describeUsage(usage)}`,
    'set DATABASE_DIRECT_URL to the PostgreSQL server itself',
  )
}

function describeUsage(usage: number): string {
  return `the notification queue of PostgreSQL is ${Math.round(usage * 100)} % full`
}
