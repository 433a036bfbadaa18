import type { IncomingHttpHeaders, ServerResponse } from 'node:http'
import { pipeline, Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { type ApiError, insufficientScope, tooManyRequests, unauthorized } from './errors.js'
import { FAULT_PATH } from './fault-path.js'

/** The response to a request with a fault. This interface is a part of Fastify's reply. */
export interface FaultReply {
  /** The request. `url` is the path and the query. */
  readonly request: { readonly url: string; readonly headers: IncomingHttpHeaders }
  code(status: number): FaultReply
  headers(values: Record<string, string>): FaultReply
  /** Sends the body: a string, or an object as JSON. */
  send(body: string | object): FaultReply
  /** Stops Fastify from sending a response, so that the handler can write the response to `raw`. */
  hijack(): FaultReply
  readonly raw: ServerResponse
}

/**
 * Replaces the response to a request. The handler sends a response with `reply`, or calls `reply.hijack()` and writes
 * to `reply.raw`. If the handler resolves without a response, the request is processed as usual.
 */
export type FaultHandler = (reply: FaultReply) => unknown

/** A fault and the requests that it affects. */
interface Fault {
  /** The path of the affected requests, without the query. Default: every path. */
  path?: string
  /** Whether a request for this URL is affected. Default: always. */
  when?: (url: URL) => boolean
  /** Number of requests that the fault affects. `Infinity`: until `clear`. Default: 1. */
  times?: number
  respond: FaultHandler
}

/** A queue of faults. The first matching fault affects a request. */
export interface Faults {
  /** @throws `TypeError` if the fault could never affect a request. */
  push(fault: Fault): void
  clear(): void
  /** Returns the number of requests that the queued faults will still affect. */
  pending(): number
  /** Returns the handler of the first fault that matches this URL, and counts the request for this fault. */
  take(url: URL): FaultHandler | undefined
}

const JSON_TYPE = 'application/json; charset=utf-8'
const TRUNCATED_JSON = '[{"date":"2026-01-01T00:00:00.000Z","type":"slo","user_id":"auth0|65'

/** Creates an empty queue of faults. */
export function createFaults(): Faults {
  let queue: (Fault & { times: number })[] = []

  function take(url: URL): FaultHandler | undefined {
    const fault = queue.find(
      ({ path, when }) => (path ?? url.pathname) === url.pathname && (when?.(url) ?? true),
    )
    if (fault) fault.times -= 1
    queue = queue.filter(({ times }) => times > 0)
    return fault?.respond
  }

  function push({ times = 1, ...fault }: Fault): void {
    if (!(times >= 0)) {
      throw new TypeError(
        `the fault has times ${times}: set the number of requests that it affects`,
      )
    }
    if (fault.path !== undefined && !FAULT_PATH.test(fault.path)) {
      const advice = "set a path such as '/api/v2/logs', and select queries with `when`"
      throw new TypeError(`the fault has the path '${fault.path}': ${advice}`)
    }
    if (times > 0) queue.push({ ...fault, times })
  }

  return {
    push,
    clear: () => void queue.splice(0),
    pending: () => queue.reduce((sum, { times }) => sum + times, 0),
    take,
  }
}

/** Responds with this status, body and headers. */
export function respondWith(
  status: number,
  body: string | object,
  headers: Record<string, string> = {},
): FaultHandler {
  return (reply) => reply.code(status).headers(headers).send(body)
}

/** Responds with 401, as for a revoked token. */
export function invalidToken(): FaultHandler {
  return apiError(unauthorized('Invalid token'))
}

/** Responds with 403, as for a token without the scope. */
export function missingScope(scope = 'read:logs'): FaultHandler {
  return apiError(insufficientScope(scope))
}

/** Responds with 429 and no remaining requests. `headers`, such as `retry-after`, are added to the response. */
export function rateLimited(headers: Record<string, string> = {}): FaultHandler {
  return apiError(tooManyRequests(), { 'x-ratelimit-remaining': '0', ...headers })
}

/** Responds with HTML instead of JSON. Status 200 simulates a captive portal, status 502 a gateway. */
export function html(status: number): FaultHandler {
  const page = `<!doctype html><title>${status}</title><h1>Please try again</h1>`
  return respondWith(status, page, { 'content-type': 'text/html; charset=utf-8' })
}

/** Responds with 200 and truncated JSON in a complete HTTP response. */
export function cutOffJson(): FaultHandler {
  return respondWith(200, TRUNCATED_JSON, { 'content-type': JSON_TYPE })
}

/** Responds with 200 and a part of the body, then closes the connection. */
export function cutOffBody(): FaultHandler {
  return (reply) => {
    reply.hijack()
    reply.raw.writeHead(200, { 'content-type': JSON_TYPE, 'content-length': 1000 })
    reply.raw.write(TRUNCATED_JSON, () => reply.raw.destroy())
  }
}

/** Resets the TCP connection instead of responding. */
export function connectionReset(): FaultHandler {
  return (reply) => {
    reply.hijack()
    reply.raw.socket?.resetAndDestroy()
  }
}

/** Keeps the connection open without a response. */
export function hang(): FaultHandler {
  return (reply) => reply.hijack()
}

/** Responds with 200 and an endless body, as fast as the client reads it. */
export function endlessBody(): FaultHandler {
  return (reply) => {
    reply.hijack()
    reply.raw.writeHead(200, { 'content-type': JSON_TYPE })
    // The pipeline ends when the client closes the connection.
    pipeline(Readable.from(endlessArray(), { objectMode: false }), reply.raw, () => {})
  }
}

/** Responds with 200 and an endless body of one byte per interval. */
export function slowDrip(intervalMs: number): FaultHandler {
  return (reply) => {
    reply.hijack()
    reply.raw.writeHead(200, { 'content-type': JSON_TYPE })
    reply.raw.write('[')
    const drip = setInterval(() => reply.raw.write(' '), intervalMs)
    reply.raw.on('close', () => clearInterval(drip))
  }
}

/** Responds with 302, a redirect to another location. */
export function redirect(location: string): FaultHandler {
  return respondWith(302, '', { location })
}

/** Delays the usual response by `ms` milliseconds. */
export function delay(ms: number): FaultHandler {
  return () => sleep(ms, undefined, { ref: false })
}

function* endlessArray(): Generator<Buffer> {
  const entries = Buffer.from('{"type":"s"},'.repeat(5_000))
  yield Buffer.from('[')
  for (;;) yield entries
}

function apiError({ body }: ApiError, headers: Record<string, string> = {}): FaultHandler {
  return respondWith(body.statusCode, body, headers)
}
