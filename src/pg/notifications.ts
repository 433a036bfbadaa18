import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import { withClient } from './client.js'
import { CONNECT_TIMEOUT_MS } from './timeouts.js'

/**
 * The channel of the check. Its name is constant: a check through a pooler can leave its LISTEN on a shared connection,
 * and the next check must not add another channel.
 */
const CHANNEL = 'last_logout_check'

/** How long the check waits for the notification while the connection is idle, in milliseconds. */
const IDLE_WAIT_MS = 500

/**
 * Checks whether a connection receives a notification that a second connection sends. Through a pooler in transaction
 * mode, it does not: LISTEN takes effect only on the pooler's own connection to the server.
 *
 * PostgreSQL sends a notification at once, or at the latest before the response to the next statement. So a direct
 * connection always passes the check, even if the server is slow.
 *
 * @param client The connection to check. It must not be in a transaction.
 * @param url The URL for the second connection.
 * @param idleWaitMs How long `client` is left idle, in milliseconds. Default: 500.
 * @throws `DATABASE_UNAVAILABLE` when a connection fails or breaks.
 */
export async function receivesNotifications(
  client: pg.Client,
  url: string,
  idleWaitMs = IDLE_WAIT_MS,
): Promise<boolean> {
  const payload = randomUUID()
  /** Aborted when the notification arrives. */
  const wait = new AbortController()
  const onNotification = (message: pg.Notification) => {
    if (message.channel === CHANNEL && message.payload === payload) wait.abort()
  }
  client.on('notification', onNotification)
  try {
    await client.query(`LISTEN ${CHANNEL}`)
    await withClient(
      url,
      (sender) => sender.query('SELECT pg_notify($1, $2)', [CHANNEL, payload]),
      {
        queryTimeoutMs: CONNECT_TIMEOUT_MS,
      },
    )
    await sleep(idleWaitMs, undefined, { signal: wait.signal }).catch(() => {})
    // PostgreSQL sends a late notification before the response to this statement.
    if (!wait.signal.aborted) await client.query('SELECT')
    await client.query(`UNLISTEN ${CHANNEL}`)
    return wait.signal.aborted
  } finally {
    client.off('notification', onNotification)
  }
}
