import type { IncomingHttpHeaders, ServerResponse } from 'node:http'
import { pipeline, Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { type ApiError, insufficientScope, tooManyRequests, unauthorized } from './errors.js'

/** The response to a request that a fault affects. */
export interface FaultReply {
  /** The request. `url` is the path and the query. */
  readonly request: { readonly url: string; readonly headers: IncomingHttpHeaders }
  code(status: number): FaultReply
  headers(values: Record<string, string>): FaultReply
  /** Sends the body: a string, or an object as JSON. */
  send(body: string | object): FaultReply
  /** Leaves the response to `raw`. */
  hijack(): FaultReply
  readonly raw: ServerResponse
}

/**
 * Replaces the response to a request: through `reply`, or directly through `reply.hijack()` and `reply.raw`. If the
 * handler has sent nothing when it resolves, the request is processed as usual.
 */
export type FaultHandler = (reply: FaultReply) => unknown

/** A fault and the requests that it affects. */
interface Fault {
  /** The path of the requests. Default: every path. */
  path?: string
  /** Whether a request with that path is affected. Default: every request with that path is affected. */
  when?: (url: URL) => boolean
  /** The number of requests that the fault affects. Default: 1. */
  times?: number
  respond: FaultHandler
}

/** A queue of faults. Each request is affected by the first fault that matches it. */
export interface Faults {
  push(fault: Fault): void
  clear(): void
  /** The number of requests that the queued faults will affect. */
  pending(): number
  /** Returns the handler of the first fault that matches a request to this URL. Counts this request as affected. */
  take(url: URL): FaultHandler | undefined
}

const JSON_TYPE = 'application/json; charset=utf-8'
const CUT_OFF = '[{"date":"2026-01-01T00:00:00.000Z","type":"slo","user_id":"auth0|65'

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

  return {
    push: (fault) => void queue.push({ times: 1, ...fault }),
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

/** Responds with 429 and an empty bucket. `headers`, such as `retry-after`, are added or replace those of the response. */
export function rateLimited(headers: Record<string, string> = {}): FaultHandler {
  return apiError(tooManyRequests(), { 'x-ratelimit-remaining': '0', ...headers })
}

/** Responds with HTML instead of JSON. With status 200, that simulates a captive portal; with 502, a gateway. */
export function html(status: number): FaultHandler {
  const page = `<!doctype html><title>${status}</title><h1>Please try again</h1>`
  return respondWith(status, page, { 'content-type': 'text/html; charset=utf-8' })
}

/** Responds with 200 and truncated JSON in a complete HTTP response. */
export function cutOffJson(): FaultHandler {
  return respondWith(200, CUT_OFF, { 'content-type': JSON_TYPE })
}

/** Responds with 200 and a part of the body, then closes the connection. */
export function cutOffBody(): FaultHandler {
  return (reply) => {
    reply.hijack()
    reply.raw.writeHead(200, { 'content-type': JSON_TYPE, 'content-length': 1000 })
    reply.raw.write(CUT_OFF, () => reply.raw.destroy())
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

/** Responds with 200 and an endless body. The body is generated as fast as the client reads it. */
export function endlessBody(): FaultHandler {
  return (reply) => {
    reply.hijack()
    reply.raw.writeHead(200, { 'content-type': JSON_TYPE })
    // The client closes the connection, which ends the pipeline.
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

/** Delays the usual response. */
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
