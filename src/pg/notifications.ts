import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import { withClient } from './client.js'
import { CONNECT_TIMEOUT_MS } from './timeouts.js'

/**
 * Channel of the check. All checks use the same one, because each can leave a LISTEN behind on a shared connection of
 * a pooler.
 */
const CHANNEL = 'last_logout_check'

/** How long the idle connection waits for the notification, in milliseconds. */
const IDLE_WAIT_MS = 500

/**
 * Checks whether a connection receives a notification that a second connection sends. Through a transaction pooler
 * it does not, because LISTEN takes effect only on the pooler's own connection to the server.
 *
 * PostgreSQL sends a notification to an idle session at once, and to a busy one before the response to the session's
 * next statement. So a direct connection always passes, even if the server is slow. A pooler forwards nothing to an
 * idle client.
 *
 * @param listening The connection to check. It must not be in a transaction.
 * @param url The URL for the second connection.
 * @param idleWaitMs How long `listening` is left idle, in milliseconds. Default: 500.
 * @throws `DATABASE_UNAVAILABLE` when a connection fails or breaks.
 */
export async function receivesNotifications(
  listening: pg.Client,
  url: string,
  idleWaitMs = IDLE_WAIT_MS,
): Promise<boolean> {
  const payload = randomUUID()
  const received = new AbortController()
  const onNotification = (message: pg.Notification) => {
    if (message.channel === CHANNEL && message.payload === payload) received.abort()
  }
  listening.on('notification', onNotification)
  try {
    await listening.query(`LISTEN ${CHANNEL}`)
    await withClient(
      url,
      (client) => client.query('SELECT pg_notify($1, $2)', [CHANNEL, payload]),
      {
        queryTimeoutMs: CONNECT_TIMEOUT_MS,
      },
    )
    // The wait rejects when the notification arrives.
    await sleep(idleWaitMs, undefined, { signal: received.signal }).catch(() => {})
    if (!received.signal.aborted) await listening.query('SELECT')
    await listening.query(`UNLISTEN ${CHANNEL}`)
    return received.signal.aborted
  } finally {
    listening.off('notification', onNotification)
  }
}
