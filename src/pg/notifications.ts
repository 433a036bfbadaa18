import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import { withClient } from './client.js'
import { CONNECT_TIMEOUT_MS } from './timeouts.js'

/**
 * Channel of the check. All checks use the same channel: on a shared connection of a pooler, the LISTEN of a check can
 * remain.
 */
const CHANNEL = 'last_logout_check'

/** How long the idle connection waits for the notification, in milliseconds. */
const IDLE_WAIT_MS = 500

/**
 * Checks whether a connection receives a notification that a second connection sends. A connection to a transaction
 * pooler receives none, because LISTEN takes effect only on the pooler's own connection to the server.
 *
 * PostgreSQL sends a notification to an idle session at once. To a busy session, it sends the notification before the
 * response to the next statement. So a direct connection always passes the check, even if the server is slow. A pooler
 * forwards nothing to an idle client.
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
  const receipt = new AbortController()
  const onNotification = (message: pg.Notification) => {
    if (message.channel === CHANNEL && message.payload === payload) receipt.abort()
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
    // The wait rejects when the notification arrives.
    await sleep(idleWaitMs, undefined, { signal: receipt.signal }).catch(() => {})
    if (!receipt.signal.aborted) await client.query('SELECT')
    await client.query(`UNLISTEN ${CHANNEL}`)
    return receipt.signal.aborted
  } finally {
    client.off('notification', onNotification)
  }
}
