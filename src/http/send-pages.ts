import type { OutgoingHttpHeaders } from 'node:http'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { FastifyError, FastifyReply } from 'fastify'
import type { ChangesPage } from '../rules/change-feed.js'
import { logFailure } from './errors.js'
import { EVENT_STREAM, type FormatPage, RETRY } from './event-stream.js'

/** Pages for a subscriber, and how to send them. */
export interface PagesToSend {
  first: ChangesPage | null
  next: AsyncGenerator<ChangesPage | null>
  format: FormatPage
  /** How long a subscriber may take to read a page before it is disconnected, in milliseconds. */
  writeTimeoutMs: number
}

/** The errors that were logged. Subscribers share queries, so one error can end the streams of all of them. */
const loggedErrors = new WeakSet<FastifyError>()

/**
 * Sends pages as Server-Sent Events, until there are no more pages or the subscriber has left. Disconnects the
 * subscriber if it reads too slowly, or if its pages fail. It can resume with its cursor.
 *
 * This function writes to the connection itself: with a `Readable` and Fastify, a change reaches the last of a thousand
 * subscribers a tenth later.
 */
export async function sendPages(reply: FastifyReply, pages: PagesToSend): Promise<void> {
  const { raw, request } = reply
  reply
    .header('content-type', EVENT_STREAM)
    .header('cache-control', 'no-store, no-transform')
    // Caddy compresses and buffers events, in spite of no-transform, unless the response has an encoding.
    .header('content-encoding', 'identity')
    // Without this header, a closing server waits for the keep-alive timeout.
    .header('connection', 'close')
    // Without this header, nginx buffers the events.
    .header('x-accel-buffering', 'no')
    .hijack()
  raw.writeHead(200, reply.getHeaders() as OutgoingHttpHeaders)
  try {
    await writePages(raw, pages)
  } catch (failure) {
    const error = failure as FastifyError
    if (!loggedErrors.has(error)) logFailure(error, request, 'event stream failed')
    loggedErrors.add(error)
    // Without the end of its chunked encoding, the subscriber sees that the stream is incomplete.
    raw.destroy()
  }
}

async function writePages(
  raw: FastifyReply['raw'],
  { first, next, format, writeTimeoutMs }: PagesToSend,
): Promise<void> {
  const write = async (page: ChangesPage | null) => {
    const isFull = !raw.destroyed && !raw.write(format(page))
    if (isFull) await drained(raw, writeTimeoutMs)
  }
  // Some proxies compress a stream if its first chunk is large, so this chunk is sent alone.
  raw.write(RETRY)
  await nextTurn()
  await write(first)
  // If the subscriber has left, no further page is read.
  if (raw.destroyed) return void (await next.return(undefined))
  for await (const page of next) {
    await write(page)
    if (raw.destroyed) return
  }
  raw.end()
}

/** Resolves when Node.js has sent what was written, or the subscriber has left. Disconnects it after `timeoutMs`. */
function drained(raw: FastifyReply['raw'], timeoutMs: number): Promise<void> {
  return new Promise((resolve) => {
    const finish = () => {
      clearTimeout(timer)
      raw.off('drain', finish).off('close', finish)
      resolve()
    }
    const timer = setTimeout(() => {
      raw.destroy()
      finish()
    }, timeoutMs)
    raw.on('drain', finish).on('close', finish)
  })
}
