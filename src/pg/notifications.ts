import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import { withClient } from './client.js'
import { CONNECT_TIMEOUT_MS } from './timeouts.js'

/** Channel of the check. One for all: a pooler can leave a LISTEN behind on a connection that it shares. */
const CHANNEL = 'last_logout_check'

/** How long the idle connection waits for the notification, in milliseconds. */
const IDLE_WAIT_MS = 500

/**
 * Checks whether a connection receives the notifications of others, by a notification from a second connection.
 * Through a transaction pooler it does not: LISTEN stays behind on a connection of the pooler.
 *
 * PostgreSQL sends a notification to an idle session at once, and to any other before the response to its next
 * statement. So a direct connection always passes, also on a busy server. A pooler forwards nothing to an idle
 * client.
 *
 * @param listening The connection. It must not be in a transaction.
 * @param url Where the second connection leads to.
 * @param idleWaitMs How long it is left idle, in milliseconds. Default: 500.
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
    // It rejects when the notification arrives.
    await sleep(idleWaitMs, undefined, { signal: received.signal }).catch(() => {})
    if (!received.signal.aborted) await listening.query('SELECT')
    await listening.query(`UNLISTEN ${CHANNEL}`)
    return received.signal.aborted
  } finally {
    listening.off('notification', onNotification)
  }
}
