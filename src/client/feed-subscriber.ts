import type { Instant } from '../rules/instant.js'
import { type Clocks, startStopwatch, systemClocks } from './clocks.js'
import { LastLogoutClientError } from './errors.js'
import type { ServerSentEvent } from './event-stream.js'
import { ENDED_ON_PURPOSE, readFeed } from './feed-connection.js'
import { readFeedEvent } from './feed-events.js'
import { createFeedFreshness, type FeedFreshness } from './feed-freshness.js'
import { createFeedProgress, type FeedProgress } from './feed-progress.js'
import type { Freshness } from './freshness.js'
import type { LogoutCache } from './logout-cache.js'
import type { ClientSettings } from './options.js'
import { createOutageReport, type OutageReport } from './outage-report.js'
import { repeatWithBackoff } from './repeat-with-backoff.js'
import { createWaiters, type Waiters } from './waiters.js'

/** A subscription to the change feed that keeps a cache up to date. */
export interface FeedSubscriber {
  /** Connects, unless it has been called before or the subscriber is closed. */
  start(): void
  /** `null` until everything has been loaded once. */
  freshness(): Freshness | null
  /** The cache holds all logouts since this instant; `Infinity` until the first load is complete. */
  completeSince(): Instant
  /** Starts, and resolves when checks can be answered. Rejects if the service rejects the key, and on `close`. */
  ready(): Promise<void>
  close(): Promise<void>
}

/** Limits that are no options of the client. Times in milliseconds. */
export interface SubscriberLimits {
  clocks: Clocks
  /** A connection without data for this time counts as broken. The service sends data every five seconds. */
  silenceTimeoutMs: number
  /** After `as_of` went back, everything is loaded within this time. All clients notice it at the same instant. */
  maxReloadDelayMs: number
}

const DEFAULT_LIMITS: SubscriberLimits = {
  clocks: systemClocks,
  silenceTimeoutMs: 15_000,
  maxReloadDelayMs: 10_000,
}

/** The state that the events of all connections update. */
interface ReceiverContext {
  progress: FeedProgress
  freshness: FeedFreshness
  /** Pending callers of `ready`. */
  waiters: Waiters
  outage: OutageReport
}

/**
 * Loads the logouts that the service knows and subscribes to their changes, from `start` until closed.
 *
 * There is one connection at a time. It begins with a load, or resumes at the cursor of the last one. A freshness event
 * means that all changes before it have been delivered. A connection is replaced, with backoff, if it breaks, if it
 * sends no data, or if it delivers so late that the data is stale for that reason alone. Everything is loaded again
 * every `reloadIntervalMs`, after a `reset`, and after `as_of` went back. `onError` gets each kind of failure once in an
 * outage.
 */
export function createFeedSubscriber(
  settings: ClientSettings,
  cache: LogoutCache,
  limits: Partial<SubscriberLimits> = {},
): FeedSubscriber {
  const { clocks, silenceTimeoutMs, maxReloadDelayMs } = { ...DEFAULT_LIMITS, ...limits }
  let connection = new AbortController()
  let isClosed = false
  let stop: (() => Promise<void>) | undefined
  const outage = createOutageReport(settings.onError, clocks)
  const waiters = createWaiters()
  const freshness = createFeedFreshness(clocks, settings.maxStalenessMs)
  const progress = createFeedProgress(cache, {
    ...settings,
    maxReloadDelayMs,
    now: clocks.wall,
    onReload: () => connection.abort(ENDED_ON_PURPOSE),
  })

  /** Resolves when the connection has ended, to whether its latest freshness arrived in time. */
  async function connect(): Promise<boolean> {
    connection = new AbortController()
    const receiver = createReceiver({ progress, freshness, waiters, outage }, connection, clocks)
    const query = progress.nextQuery()
    const options = { query, connection, silenceTimeoutMs, onEvent: receiver.receive }
    await readFeed(settings, options).catch(report)
    return receiver.timeliness() === 'in_time'
  }

  function report(error: LastLogoutClientError): void {
    if (error.code === 'UNAUTHORIZED') waiters.reject(error)
    outage.failed(error)
  }

  function start(): void {
    if (!isClosed) stop ??= repeatWithBackoff(connect)
  }

  return {
    start,
    freshness: freshness.current,
    completeSince: progress.completeSince,
    ready: async () => {
      if (isClosed) throw closedError()
      start()
      if ((freshness.current()?.asOf ?? null) === null) await waiters.wait()
    },
    async close() {
      isClosed = true
      freshness.stop()
      progress.close()
      waiters.reject(closedError())
      connection.abort(ENDED_ON_PURPOSE)
      await stop?.()
    },
  }
}

/** Whether the latest freshness event of a connection arrived in time. */
type Timeliness = 'no_freshness_yet' | 'in_time' | 'late'

/**
 * Creates the receiver of one connection, when its request is sent. `receive` ends the connection when an event is late.
 */
export function createReceiver(
  { progress, freshness, waiters, outage }: ReceiverContext,
  connection: AbortController,
  clocks: Clocks,
) {
  const sinceRequestMs = startStopwatch(clocks)
  let timeliness: Timeliness = 'no_freshness_yet'
  return {
    timeliness: () => timeliness,
    receive(serverSentEvent: ServerSentEvent): void {
      const event = readFeedEvent(serverSentEvent)
      progress.apply(event)
      if (event.kind !== 'freshness') return
      const isFirst = timeliness === 'no_freshness_yet'
      const maxDelayMs = isFirst ? sinceRequestMs() : Number.POSITIVE_INFINITY
      const lateByMs = freshness.update(event.freshness, maxDelayMs)
      if (event.freshness.asOf !== null) waiters.resolve()
      timeliness = lateByMs === 0 ? 'in_time' : 'late'
      if (timeliness === 'late') connection.abort(lateError(lateByMs))
      else outage.succeeded()
    },
  }
}

function lateError(ms: number): LastLogoutClientError {
  const message = `events of the change feed arrive ${Math.round(ms / 1000)} s late: a proxy buffers them, or a clock was set; connecting again`
  return new LastLogoutClientError('UNAVAILABLE', message)
}

function closedError(): LastLogoutClientError {
  return new LastLogoutClientError('CLOSED', 'the client is closed')
}
