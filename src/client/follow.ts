import type { Instant } from '../rules/instant.js'
import { type Clocks, startStopwatch, systemClocks } from './clocks.js'
import { LastLogoutClientError } from './errors.js'
import type { ServerSentEvent } from './event-stream.js'
import { ENDED_ON_PURPOSE, readFeed } from './feed-connection.js'
import { createFeedFreshness } from './feed-freshness.js'
import { createFeedProgress } from './feed-progress.js'
import { type Freshness, readFreshness } from './freshness.js'
import type { Held } from './held.js'
import type { Settings } from './options.js'
import { repeatWithBackoff } from './repeat-with-backoff.js'
import { createWaiters } from './waiters.js'

/** Follows the change feed, and keeps the logouts that it delivers. */
export interface Follower {
  /** `null` until everything has been loaded once. */
  freshness(): Freshness | null
  /** All logouts from this instant on are held; `Infinity` before the first load is complete. */
  heldSince(): Instant
  /** Resolves when checks can be answered; rejects when the service refuses the key, or at `close`. */
  ready(): Promise<void>
  close(): Promise<void>
}

/** What a follower does not take from the options of the client. Times in milliseconds. */
export interface FollowerLimits {
  clocks: Clocks
  /** The service sends something every five seconds; after this silence the connection counts as broken. */
  silenceTimeoutMs: number
  /** After `as_of` went back everything is loaded within this time: all clients see it at the same instant. */
  maxReloadDelayMs: number
}

const DEFAULT_LIMITS: FollowerLimits = {
  clocks: systemClocks,
  silenceTimeoutMs: 15_000,
  maxReloadDelayMs: 10_000,
}

/**
 * Loads the logouts that the service knows and follows their changes until closed.
 *
 * One connection at a time: it begins with a load, or at the cursor where the last one ended. A freshness event says that
 * all changes before it have been delivered. A connection that breaks, is silent, or delivers so late that the data is
 * stale for that reason alone, is replaced; with backoff while that does not help. Everything is loaded anew every
 * `reloadIntervalMs`, after a `reset`, and when `as_of` went back.
 */
export function createFollower(
  settings: Settings,
  held: Held,
  limits: Partial<FollowerLimits> = {},
): Follower {
  const { clocks, silenceTimeoutMs, maxReloadDelayMs } = { ...DEFAULT_LIMITS, ...limits }
  const progress = createFeedProgress(held, {
    ...settings,
    maxReloadDelayMs,
    now: clocks.wall,
    onReload: () => connection.abort(ENDED_ON_PURPOSE),
  })
  const freshness = createFeedFreshness(clocks, settings.maxStalenessMs)
  const waiters = createWaiters()
  let connection = new AbortController()
  let isClosed = false

  /** Resolves to whether the newest freshness of the connection came in time. */
  async function connect(): Promise<boolean> {
    let isInTime: boolean | null = null
    connection = new AbortController()
    const sinceRequestMs = startStopwatch(clocks)
    const onEvent = (event: ServerSentEvent) => {
      progress.apply(event)
      if (event.name !== 'freshness') return
      const stated = readFreshness(JSON.parse(event.data))
      const maxDelayMs = isInTime === null ? sinceRequestMs() : Number.POSITIVE_INFINITY
      const lateByMs = freshness.take(stated, maxDelayMs)
      progress.advance(stated)
      if (stated.asOf !== null) waiters.resolve()
      isInTime = lateByMs === 0
      if (!isInTime) connection.abort(late(lateByMs))
    }
    const options = { query: progress.nextQuery(), connection, silenceTimeoutMs, onEvent }
    await readFeed(settings, options).catch(report)
    return isInTime ?? false
  }

  function report(error: LastLogoutClientError): void {
    if (error.code === 'UNAUTHORIZED') waiters.reject(error)
    settings.onError?.(error)
  }
  const stop = repeatWithBackoff(connect)
  return {
    freshness: freshness.current,
    heldSince: progress.heldSince,
    ready: async () => {
      if (isClosed) throw closed()
      if ((freshness.current()?.asOf ?? null) === null) await waiters.wait()
    },
    async close() {
      isClosed = true
      freshness.stop()
      progress.close()
      waiters.reject(closed())
      connection.abort(ENDED_ON_PURPOSE)
      await stop()
    },
  }
}

function late(ms: number): LastLogoutClientError {
  const message = `events of the feed arrive ${Math.round(ms / 1000)} s late: a proxy buffers them, or a clock was set; connecting again`
  return new LastLogoutClientError('UNAVAILABLE', message)
}

function closed(): LastLogoutClientError {
  return new LastLogoutClientError('CLOSED', 'the client is closed')
}
