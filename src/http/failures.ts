import { isIP } from 'node:net'
import rateLimit, { normalizeIP } from '@fastify/rate-limit'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { sendError } from './errors.js'

/** How many wrong keys an address may send in a window. */
const MAX_FAILURES = 20

/** In milliseconds. */
const WINDOW_MS = 60_000

/** How many addresses are remembered: those that were wrong least recently are forgotten first. */
const MAX_ADDRESSES = 10_000

/**
 * Counts the wrong keys of an address. What it returns answers with 429 where there were too many;
 * `null` below that, and where no key was sent.
 */
export async function countFailures(
  app: FastifyInstance,
): Promise<(request: FastifyRequest, reply: FastifyReply) => Promise<FastifyReply | null>> {
  await app.register(rateLimit, {
    global: false,
    max: MAX_FAILURES,
    timeWindow: WINDOW_MS,
    cache: MAX_ADDRESSES,
    keyGenerator: readAddress,
  })
  const count = app.createRateLimit()

  return async (request, reply) => {
    if (request.headers.authorization === undefined) return null
    const failures = await count(request)
    if (failures.isAllowed) return null
    // The last that is let through: once a window.
    if (!failures.isExceeded && failures.remaining === 0) {
      request.log.warn({ address: failures.key }, 'many wrong keys from one address')
    }
    if (!failures.isExceeded) return null
    reply.header('retry-after', `${failures.ttlInSeconds}`)
    return sendError(reply, 429, 'too many wrong keys from this address: correct the key, and wait')
  }
}

/** Of IPv6 the /64, which is what one subscriber gets. A connection that has ended has none. */
function readAddress({ ip }: FastifyRequest): string {
  return isIP(ip) === 0 ? 'unknown' : normalizeIP(ip)
}
