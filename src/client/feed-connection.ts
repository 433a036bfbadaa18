import { invalidResponse, LastLogoutClientError } from './errors.js'
import { createFeedReader, type FeedEvent } from './feed-events.js'
import { nextTurn } from './next-turn.js'
import { type RequestOptions, readText, reasonOf, request } from './request.js'
import { startSilenceTimer } from './silence-timer.js'

const EVENT_STREAM = 'text/event-stream'

/** Maximum time in milliseconds for which events are processed before other work of the event loop can run. */
const MAX_WORK_MS = 8

/** Abort reason of a connection that must end without an error: for a reload, or because the client is closed. */
export const ENDED_ON_PURPOSE = Symbol('ended on purpose')

/** Options of {@link readFeed}. */
export interface ConnectionOptions {
  query: URLSearchParams
  /** `abort` ends the connection, and drops further events. */
  connection: AbortController
  /** Maximum time without data before the connection ends, in milliseconds. */
  silenceTimeoutMs: number
  /** Called for each event. If it throws, the connection ends. */
  onEvent(event: FeedEvent): void
}

/**
 * Reads the change feed over one connection. Resolves to `true` when the service closes the connection, and to `false`
 * after an abort with `ENDED_ON_PURPOSE`.
 *
 * @throws `LastLogoutClientError` if the connection ends in any other way. If the connection was aborted with a
 *   `LastLogoutClientError`, throws this error.
 */
export async function readFeed(
  service: RequestOptions,
  { query, connection, silenceTimeoutMs, onEvent }: ConnectionOptions,
): Promise<boolean> {
  const { signal } = connection
  const silenceTimer = startSilenceTimer(silenceTimeoutMs, () =>
    connection.abort(silenceError(silenceTimeoutMs)),
  )
  try {
    // Services of earlier releases ignore `load`.
    const path = `v1/changes?${query}&load=columns`
    const response = await request(service, path, { accept: EVENT_STREAM, signal })
    assertEventStream(response, service)
    let workMs = 0
    const read = createFeedReader((event) => void (signal.aborted || onEvent(event)))
    await readText(response, signal, (text) => {
      silenceTimer.restart()
      const startedAt = performance.now()
      read(text)
      workMs += performance.now() - startedAt
      if (workMs < MAX_WORK_MS) return
      // Node.js reads up to 2 MiB of a socket in one turn of the event loop. Processing this data takes about 30 ms.
      workMs = 0
      return nextTurn()
    })
    return true
  } catch (error) {
    const cause = signal.aborted ? signal.reason : error
    if (cause === ENDED_ON_PURPOSE) return false
    throw cause instanceof LastLogoutClientError ? cause : connectionLost(cause, service)
  } finally {
    silenceTimer.stop()
    // Discards the rest of the response. Nothing reads the abort reason after this point.
    connection.abort(ENDED_ON_PURPOSE)
  }
}

function assertEventStream({ headers }: Response, { url }: RequestOptions): void {
  const type = headers.get('content-type')
  if (type?.startsWith(EVENT_STREAM)) return
  throw invalidResponse(
    `the change feed of ${url} has the content type ${type}, not ${EVENT_STREAM}: check that url is the address of last-logout`,
  )
}

function connectionLost(cause: unknown, { url }: RequestOptions): LastLogoutClientError {
  const message = `the connection to the change feed of ${url} was lost (${reasonOf(cause)}): connecting again`
  return new LastLogoutClientError('UNAVAILABLE', message, cause)
}

function silenceError(timeoutMs: number): LastLogoutClientError {
  const message = `the change feed sent no data for ${timeoutMs / 1000} s: connecting again`
  return new LastLogoutClientError('UNAVAILABLE', message)
}
