import { pipeline, Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyReply } from 'fastify'
import { type ApiError, insufficientScope, tooManyRequests, unauthorized } from './errors.js'

/**
 * Misbehaves in place of an answer: through `reply`, or past it by `reply.hijack()` and
 * `reply.raw`. When it has not answered on its end, the request goes its usual way.
 */
export type Misbehave = (reply: FastifyReply) => unknown

/** What goes wrong, where and how often. */
interface Fault {
  /** Default: every path. */
  path?: string
  /** Default: every request with that path. */
  when?: (url: URL) => boolean
  /** How many requests it hits, default 1. */
  times?: number
  respond: Misbehave
}

/** The faults to come: each request is hit by the first that matches it. */
export interface Faults {
  push(fault: Fault): void
  clear(): void
  /** How many hits are still to come. */
  pending(): number
  /** Takes the fault that hits a request to this address. */
  take(url: URL): Misbehave | undefined
}

const JSON_TYPE = 'application/json; charset=utf-8'
const CUT_OFF = '[{"date":"2026-01-01T00:00:00.000Z","type":"slo","user_id":"auth0|65'

/** An empty queue of faults. */
export function createFaults(): Faults {
  let queue: (Fault & { times: number })[] = []

  function take(url: URL): Misbehave | undefined {
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

/** Any status with any body. */
export function answer(
  status: number,
  body: string | object,
  headers: Record<string, string> = {},
): Misbehave {
  return (reply) => reply.code(status).headers(headers).send(body)
}

/** 401, as for a token that has been revoked. */
export function invalidToken(): Misbehave {
  return apiError(unauthorized('Invalid token'))
}

/** 403, as for a token without the scope. */
export function missingScope(scope = 'read:logs'): Misbehave {
  return apiError(insufficientScope(scope))
}

/** 429 with an empty bucket; `headers` add or replace, for example `retry-after`. */
export function rateLimited(headers: Record<string, string> = {}): Misbehave {
  return apiError(tooManyRequests(), { 'x-ratelimit-remaining': '0', ...headers })
}

/** A page of HTML where JSON is due: with 200 from a captive proxy, with 502 from a gateway. */
export function html(status: number): Misbehave {
  const page = `<!doctype html><title>${status}</title><h1>Please try again</h1>`
  return answer(status, page, { 'content-type': 'text/html; charset=utf-8' })
}

/** 200 with JSON that ends in the middle, in an answer that is whole as HTTP. */
export function cutOffJson(): Misbehave {
  return answer(200, CUT_OFF, { 'content-type': JSON_TYPE })
}

/** 200 with half a body, then the end of the connection. */
export function cutOffBody(): Misbehave {
  return (reply) => {
    reply.hijack()
    reply.raw.writeHead(200, { 'content-type': JSON_TYPE, 'content-length': 1000 })
    reply.raw.write(CUT_OFF, () => reply.raw.destroy())
  }
}

/** No answer, but a TCP reset. */
export function connectionReset(): Misbehave {
  return (reply) => {
    reply.hijack()
    reply.raw.socket?.resetAndDestroy()
  }
}

/** The connection is taken, and nothing ever answered. */
export function hang(): Misbehave {
  return (reply) => reply.hijack()
}

/** 200 with a body that does not end; no more of it is made than is taken. */
export function endlessBody(): Misbehave {
  return (reply) => {
    reply.hijack()
    reply.raw.writeHead(200, { 'content-type': JSON_TYPE })
    // Whoever has had enough breaks the connection, which ends the pipeline.
    pipeline(Readable.from(endlessArray(), { objectMode: false }), reply.raw, () => {})
  }
}

/** 200 with a body that goes on, and hardly: a byte every so often. */
export function slowDrip(intervalMs: number): Misbehave {
  return (reply) => {
    reply.hijack()
    reply.raw.writeHead(200, { 'content-type': JSON_TYPE })
    reply.raw.write('[')
    const drip = setInterval(() => reply.raw.write(' '), intervalMs)
    reply.raw.on('close', () => clearInterval(drip))
  }
}

/** The request is sent elsewhere. */
export function redirect(location: string): Misbehave {
  return answer(302, '', { location })
}

/** The usual answer, later. */
export function delay(ms: number): Misbehave {
  return () => sleep(ms, undefined, { ref: false })
}

function* endlessArray(): Generator<Buffer> {
  const entries = Buffer.from('{"type":"s"},'.repeat(5_000))
  yield Buffer.from('[')
  for (;;) yield entries
}

function apiError({ body }: ApiError, headers: Record<string, string> = {}): Misbehave {
  return answer(body.statusCode, body, headers)
}
