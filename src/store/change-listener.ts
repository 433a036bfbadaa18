import { EventEmitter } from 'node:events'
import pg from 'pg'
import type { Logger } from 'pino'
import { type Backoff, backOff } from '../async/backoff.js'
import { createFailureTracker, type FailureTracker } from '../async/failure-tracker.js'
import { receivesNotifications } from '../pg/notifications.js'
import { createSockets } from '../pg/sockets.js'
import { CONNECT_TIMEOUT_MS, MAX_LIFETIME_SECONDS } from '../pg/timeouts.js'

/** The NOTIFY channel. A trigger on the tenant row sends a notification after each change. */
const CHANNEL = 'last_logout'

/** Default interval between two calls of `onChange` while no notifications arrive, in milliseconds. */
const POLL_INTERVAL_MS = 1_000

/** The failure of a connection that accepts LISTEN but delivers no notifications. */
const NOT_NOTIFIED = Symbol('not notified')

const ADVICE =
  'a connection pooler stands between this program and PostgreSQL: set DATABASE_DIRECT_URL to the PostgreSQL server itself'

const RECONNECT_BACKOFF: Backoff = { firstMs: 250, maxMs: 5_000 }

/** Notifies subscribers when the change feed may have new changes. */
export interface ChangeListener {
  /**
   * Calls `onChange` after each change, and whenever a notification may have been lost.
   *
   * @returns A function that unsubscribes.
   */
  subscribe(onChange: () => void): () => void
  close(): Promise<void>
}

/**
 * Creates a listener with its own database connection, on which it runs LISTEN. The listener reconnects with backoff.
 *
 * Some connection poolers accept LISTEN but deliver no notifications, so the listener tests each new connection. While
 * no notifications arrive, the listener calls `onChange` every `pollIntervalMs` instead.
 *
 * @param pollIntervalMs Interval in milliseconds. Default: 1,000.
 */
export function createChangeListener(
  databaseUrl: string,
  log: Logger,
  pollIntervalMs = POLL_INTERVAL_MS,
): ChangeListener {
  const changes = new EventEmitter().setMaxListeners(0)
  const closeController = new AbortController()
  const emit = () => void changes.emit('change')
  const outage = createListenerOutage(log)
  const pollTimer = setInterval(() => {
    if (outage.isFailing()) emit()
  }, pollIntervalMs)
  const listening = listenUntilAborted({
    url: databaseUrl,
    onChange: emit,
    outage,
    signal: closeController.signal,
  })
  return {
    subscribe(onChange) {
      changes.on('change', onChange)
      return () => void changes.off('change', onChange)
    },
    async close() {
      clearInterval(pollTimer)
      closeController.abort()
      await listening
    },
  }
}

/** Creates a tracker that logs the first failure of each kind, and the recovery. */
function createListenerOutage(log: Logger): FailureTracker {
  return createFailureTracker({
    onFailure(err, isFirst) {
      const level = isFirst ? 'warn' : 'debug'
      if (err === NOT_NOTIFIED)
        log[level]({ advice: ADVICE }, 'notifications not received, polling for changes')
      else log[level]({ err }, 'listener connection lost, polling for changes')
    },
    onRecovery: (failingMs) => log.info({ failingMs }, 'listener connection restored'),
    kindOf: (error) => error === NOT_NOTIFIED,
  })
}

interface ListenOptions {
  url: string
  onChange(): void
  outage: FailureTracker
  signal: AbortSignal
}

async function listenUntilAborted(options: ListenOptions): Promise<void> {
  const { outage, signal } = options
  let failures = 0
  while (!signal.aborted) {
    try {
      await listen(options)
      failures = 0
    } catch (error) {
      if (!signal.aborted) outage.recordFailure(error)
      failures++
    }
    await backOff(failures, RECONNECT_BACKOFF, signal).catch(() => {})
  }
}

/** Listens until the connection ends or `signal` aborts. Throws if the connection cannot be opened. */
async function listen({ url, onChange, outage, signal }: ListenOptions): Promise<void> {
  const sockets = createSockets()
  const client = new pg.Client({
    connectionString: url,
    stream: sockets.open,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    query_timeout: CONNECT_TIMEOUT_MS,
    keepAlive: true,
  })
  const end = () => {
    client.end()
    sockets.destroyAfterGrace()
  }
  const ended = new Promise<void>((resolve) => void client.once('end', resolve))
  // A broken connection emits `error` and then `end`. Without a listener, `error` would end the process.
  client.on('error', () => {})
  client.on('notification', ({ channel }) => {
    if (channel === CHANNEL) onChange()
  })
  await client.connect()
  const lifetime = setTimeout(end, MAX_LIFETIME_SECONDS * 1_000)
  signal.addEventListener('abort', end)
  try {
    if (signal.aborted) return
    await client.query(`LISTEN ${CHANNEL}`)
    // Notifications that were sent before this LISTEN are lost.
    onChange()
    const check = receivesNotifications(client, url).then((isReceiving) => {
      if (isReceiving) outage.recordSuccess()
      else outage.recordFailure(NOT_NOTIFIED)
    })
    await Promise.race([check, ended])
    await ended
  } finally {
    clearTimeout(lifetime)
    signal.removeEventListener('abort', end)
    end()
  }
}
