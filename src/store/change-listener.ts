import { EventEmitter } from 'node:events'
import { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import type { Logger } from 'pino'

/** What the trigger on the tenant row notifies. */
const CHANNEL = 'last_logout'

const CONNECT_TIMEOUT_MS = 5_000

/** How long the server may take to take leave, in milliseconds. */
const CLOSING_PATIENCE_MS = 2_000

/** What a server that was demoted, or cut off, notifies of is nothing: so long is one listened to, in milliseconds. */
const LIFETIME_MS = 60_000

/** The first and the longest wait before connecting again, in milliseconds. */
const FIRST_WAIT_MS = 250
const LONGEST_WAIT_MS = 5_000

/** Tells when the change feed has moved. */
export interface ChangeListener {
  /** Calls `wake` after each change, and when one may have been missed; returns how to stop that. */
  subscribe(wake: () => void): () => void
  close(): Promise<void>
}

/**
 * Listens on a connection of its own, which must not go through a transaction pooler, and connects
 * again for as long as it is open. While it cannot, nobody is woken.
 */
export function createChangeListener(databaseUrl: string, log: Logger): ChangeListener {
  const wakes = new EventEmitter().setMaxListeners(0)
  const closing = new AbortController()
  const stopped = listenForEver(databaseUrl, wakes, closing.signal, log)
  return {
    subscribe(wake) {
      wakes.on('wake', wake)
      return () => void wakes.off('wake', wake)
    },
    async close() {
      closing.abort()
      await stopped
    },
  }
}

async function listenForEver(
  url: string,
  wakes: EventEmitter,
  signal: AbortSignal,
  log: Logger,
): Promise<void> {
  let waitMs = FIRST_WAIT_MS
  const onListening = () => {
    if (waitMs > FIRST_WAIT_MS) log.info('told of changes again')
    waitMs = FIRST_WAIT_MS
    // What was notified before is not told again.
    wakes.emit('wake')
  }
  while (!signal.aborted) {
    try {
      await listen({ url, wakes, signal, onListening })
    } catch (err) {
      // Once an outage, not once an attempt.
      const level = waitMs === FIRST_WAIT_MS ? 'warn' : 'debug'
      log[level]({ err }, 'not told of changes: looking for them every few seconds instead')
      waitMs = Math.min(waitMs * 2, LONGEST_WAIT_MS)
    }
    await sleep(waitMs, undefined, { signal }).catch(() => {})
  }
}

interface ListenOptions {
  url: string
  wakes: EventEmitter
  signal: AbortSignal
  onListening(): void
}

/** Listens until the connection ends or the signal comes; throws where there is no connection. */
async function listen({ url, wakes, signal, onListening }: ListenOptions): Promise<void> {
  // One of our own, that a server which has fallen silent cannot keep open.
  const socket = new Socket()
  const client = new pg.Client({
    connectionString: url,
    stream: () => socket,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    query_timeout: CONNECT_TIMEOUT_MS,
    keepAlive: true,
  })
  const end = () => {
    client.end()
    setTimeout(() => socket.destroy(), CLOSING_PATIENCE_MS).unref()
  }
  const ended = new Promise<void>((resolve) => void client.once('end', resolve))
  // A connection that breaks ends too; unheard, this event would end the process.
  client.on('error', () => {})
  client.on('notification', () => wakes.emit('wake'))
  await client.connect()
  const lifetime = setTimeout(end, LIFETIME_MS)
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
