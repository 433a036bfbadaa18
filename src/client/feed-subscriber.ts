import type { Instant } from '../rules/instant.js'
import { type Clocks, startStopwatch, systemClocks } from './clocks.js'
import { closedError, LastLogoutClientError } from './errors.js'
import { ENDED_ON_PURPOSE, readFeed } from './feed-connection.js'
import type { FeedEvent } from './feed-events.js'
import { createFeedFreshness, type FeedFreshness } from './feed-freshness.js'
import { createFeedProgress, type FeedProgress } from './feed-progress.js'
import type { Freshness } from './freshness.js'
import type { LogoutCache } from './logout-cache.js'
import type { ClientSettings } from './options.js'
import { createOutageReport, type OutageReport } from './outage-report.js'
import { type AttemptResult, repeatWithBackoff } from './repeat-with-backoff.js'
import { createWaiters, type Waiters } from './waiters.js'

/** A subscription to the change feed that keeps a cache up to date. */
export interface FeedSubscriber {
  /** The first call connects. Later calls, and calls after `close`, do nothing. */
  start(): void
  /** Returns the freshness of the cache; `null`: the first load is not complete. */
  freshness(): Freshness | null
  /** The cache contains all logouts since this instant; `Infinity`: the first load is not complete. */
  completeSince(): Instant
  /** Connects if necessary. Resolves after the first load. Rejects if the service rejects the key, or after `close`. */
  ready(): Promise<void>
  close(): Promise<void>
}

/** Clocks and limits that are not options of the client. Times in milliseconds. */
export interface SubscriberLimits {
  clocks: Clocks
  /** Maximum time without data before a connection counts as broken. The service sends data every five seconds. */
  silenceTimeoutMs: number
  /** Maximum delay of a reload after `as_of` went back. The delay is random, so that not all clients load at once. */
  maxReloadDelayMs: number
}

const DEFAULT_LIMITS: SubscriberLimits = {
  clocks: systemClocks,
  silenceTimeoutMs: 15_000,
  maxReloadDelayMs: 10_000,
}

/** The state of a subscriber. The events of each connection update this state. */
interface ReceiverContext {
  progress: FeedProgress
  freshness: FeedFreshness
  /** Pending callers of `ready`. */
  waiters: Waiters
  outage: OutageReport
}

/**
 * Creates a subscriber. It loads the logouts from the service and subscribes to their changes, from `start` until
 * `close`.
 *
 * - The subscriber has one connection at a time. A connection begins with a load, or resumes at the cursor of the
 *   previous connection.
 * - A freshness event means that all earlier changes have been delivered.
 * - The subscriber replaces a connection, with backoff, if the connection breaks or sends no data, or if the data is
 *   stale only because the events are delayed.
 * - The subscriber loads everything again every `reloadIntervalMs`, after a `reset`, and after `as_of` went back.
 * - `onError` receives each kind of failure once per outage.
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

  const context: ReceiverContext = { progress, freshness, waiters, outage }

  /** Reads one connection to its end. The attempt was successful if the latest freshness event arrived in time. */
  async function connect(): Promise<AttemptResult> {
    connection = new AbortController()
    const receiver = createReceiver(context, connection, clocks)
    const query = progress.nextQuery()
    const options = { query, connection, silenceTimeoutMs, onEvent: receiver.receive }
    const retryAfterMs = await readFeed(settings, options).then(
      (hasServiceClosed) => reportEarlyEnd(hasServiceClosed, context, settings),
      (error) => reportFailure(error, context),
    )
    return { isSuccess: receiver.timeliness() === 'in_time', retryAfterMs }
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

/** Reports why a connection failed. Returns `Retry-After` in milliseconds, if the service has sent this header. */
function reportFailure(
  error: LastLogoutClientError,
  { waiters, outage }: ReceiverContext,
): number | undefined {
  if (error.code === 'UNAUTHORIZED') waiters.reject(error)
  outage.recordFailure(error)
  return error.retryAfterMs
}

/** Reports that the service has closed the connection during the first load. Later, stale data is reported instead. */
function reportEarlyEnd(
  hasServiceClosed: boolean,
  { freshness, outage }: ReceiverContext,
  { url }: ClientSettings,
): undefined {
  if (!hasServiceClosed || freshness.current() !== null) return
  const message = `the change feed of ${url} ended before the first load was complete: a proxy limits the duration of a response, or the service has restarted; connecting again`
  outage.recordFailure(new LastLogoutClientError('UNAVAILABLE', message))
}

/** Whether the latest freshness event of a connection arrived in time. */
type Timeliness = 'no_freshness_yet' | 'in_time' | 'late'

/**
 * Creates the receiver of the events of one connection. If a freshness event is late, `receive` ends the connection.
 *
 * Call this function immediately before the request, because it measures the delay of the first event from now on.
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
    receive(event: FeedEvent): void {
      progress.apply(event)
      if (event.kind !== 'freshness') return
      const isFirst = timeliness === 'no_freshness_yet'
      const maxDelayMs = isFirst ? sinceRequestMs() : Number.POSITIVE_INFINITY
      const lateByMs = freshness.update(event.freshness, maxDelayMs)
      // Until the service has read the log, `asOf` is null, and `ready` keeps waiting.
      if (event.freshness.asOf !== null) waiters.resolve()
      timeliness = lateByMs === 0 ? 'in_time' : 'late'
      if (timeliness === 'late') connection.abort(lateError(lateByMs))
      else outage.recordSuccess()
    },
  }
}

function lateError(delayMs: number): LastLogoutClientError {
  const message = `events of the change feed arrive ${Math.round(delayMs / 1000)} s late: a proxy buffers them, the process was suspended, or a clock was set; connecting again`
  return new LastLogoutClientError('UNAVAILABLE', message)
}
