import { EventEmitter } from 'node:events'
import pg from 'pg'
import type { Logger } from 'pino'
import { type Backoff, backOff } from '../async/backoff.js'
import { createSockets } from '../pg/sockets.js'
import { CONNECT_TIMEOUT_MS, MAX_LIFETIME_SECONDS } from '../pg/timeouts.js'

/** Channel that the trigger on the tenant row notifies. */
const CHANNEL = 'last_logout'

const RECONNECT_BACKOFF: Backoff = { firstMs: 250, maxMs: 5_000 }

/** Reports changes of the change feed. */
export interface ChangeListener {
  /**
   * Calls `onChange` after each change, and whenever a notification may have been missed.
   *
   * @returns Unsubscribes.
   */
  subscribe(onChange: () => void): () => void
  close(): Promise<void>
}

/**
 * Listens for changes (LISTEN) on a connection of its own, and reconnects with backoff until it is closed.
 * While it is disconnected it reports no changes: subscribers have to poll.
 *
 * @param databaseUrl Must not point to a transaction pooler, which does not support LISTEN.
 */
export function createChangeListener(databaseUrl: string, log: Logger): ChangeListener {
  const changes = new EventEmitter().setMaxListeners(0)
  const closing = new AbortController()
  const closed = listenUntilAborted(databaseUrl, changes, closing.signal, log)
  return {
    subscribe(onChange) {
      changes.on('change', onChange)
      return () => void changes.off('change', onChange)
    },
    async close() {
      closing.abort()
      await closed
    },
  }
}

async function listenUntilAborted(
  url: string,
  changes: EventEmitter,
  signal: AbortSignal,
  log: Logger,
): Promise<void> {
  let failures = 0
  const onListening = () => {
    if (failures > 0) log.info('listener connection restored')
    failures = 0
    // PostgreSQL does not repeat notifications that were sent before.
    changes.emit('change')
  }
  while (!signal.aborted) {
    try {
      await listen({ url, changes, signal, onListening })
    } catch (err) {
      // One warning per outage, not per attempt.
      const level = failures === 0 ? 'warn' : 'debug'
      log[level]({ err }, 'listener connection lost, polling for changes')
      failures++
    }
    await backOff(failures, RECONNECT_BACKOFF, signal).catch(() => {})
  }
}

interface ListenOptions {
  url: string
  changes: EventEmitter
  signal: AbortSignal
  onListening(): void
}

/** Listens until the connection ends or `signal` aborts. Throws when it cannot connect. */
async function listen({ url, changes, signal, onListening }: ListenOptions): Promise<void> {
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
  // A broken connection also emits `end`. Without a listener this event would end the process.
  client.on('error', () => {})
  client.on('notification', () => changes.emit('change'))
  await client.connect()
  const lifetime = setTimeout(end, MAX_LIFETIME_SECONDS * 1_000)
  signal.addEventListener('abort', end)
  try {
    if (signal.aborted) return
    await client.query(`LISTEN ${CHANNEL}`)
    onListening()
    await ended
  } finally {
    clearTimeout(lifetime)
    signal.removeEventListener('abort', end)
    end()
  }
}
