import { LastLogoutClientError } from './errors.js'
import { createEventReader, type ServerSentEvent } from './event-stream.js'
import { type RequestOptions, readText, request } from './request.js'

const EVENT_STREAM = 'text/event-stream'

/** Reason to abort a connection that is no error: a reload, or `close`. */
export const ENDED_ON_PURPOSE = Symbol('ended on purpose')

/** How a connection is read. */
export interface ConnectionOptions {
  query: URLSearchParams
  /** Aborting it ends the connection; events that have been received by then are dropped. */
  connection: AbortController
  /** Ends the connection when nothing has been received for this time, in milliseconds. */
  silenceTimeoutMs: number
  onEvent(event: ServerSentEvent): void
}

/**
 * Reads the feed over one connection until the service closes it, or it is aborted with `ENDED_ON_PURPOSE`.
 *
 * @throws `LastLogoutClientError` where it ends in another way; an error of that class that it is aborted with is thrown as it is.
 */
export async function readFeed(
  service: RequestOptions,
  { query, connection, silenceTimeoutMs, onEvent }: ConnectionOptions,
): Promise<void> {
  const { signal } = connection
  const silence = setTimeout(() => connection.abort(silent(silenceTimeoutMs)), silenceTimeoutMs)
  try {
    const response = await request(service, `v1/changes?${query}`, { accept: EVENT_STREAM, signal })
    assertEventStream(response)
    const read = createEventReader((event) => void (signal.aborted || onEvent(event)))
    for await (const text of readText(response, signal)) {
      silence.refresh()
      read(text)
    }
  } catch (error) {
    const cause = signal.aborted ? signal.reason : error
    if (cause === ENDED_ON_PURPOSE) return
    throw cause instanceof LastLogoutClientError
      ? cause
      : new LastLogoutClientError('UNAVAILABLE', 'the connection to the feed was lost', cause)
  } finally {
    clearTimeout(silence)
    // What is left of the response is not read.
    connection.abort(ENDED_ON_PURPOSE)
  }
}

function assertEventStream({ headers }: Response): void {
  const type = headers.get('content-type')
  if (type?.startsWith(EVENT_STREAM)) return
  throw new LastLogoutClientError('NOT_UNDERSTOOD', `the feed came as ${type}, not as events`)
}

function silent(ms: number): LastLogoutClientError {
  return new LastLogoutClientError('UNAVAILABLE', `the feed sent nothing for ${ms / 1000} s`)
}
