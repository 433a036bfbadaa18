import { isIP } from 'node:net'
import rateLimit, { normalizeIP } from '@fastify/rate-limit'
import type { FastifyInstance, FastifyRequest } from 'fastify'

/** How many wrong keys an address may send in a window. */
const MAX_FAILURES = 20

/** In milliseconds. */
const WINDOW_MS = 60_000

/** How many addresses are remembered: those that were wrong least recently are forgotten first. */
const MAX_ADDRESSES = 10_000

/**
 * Counts the wrong keys of an address. What it returns tells how many seconds to wait where there
 * were too many; 0 below that, and where no key was sent.
 */
export async function countFailures(
  app: FastifyInstance,
): Promise<(request: FastifyRequest) => Promise<number>> {
  await app.register(rateLimit, {
    global: false,
    max: MAX_FAILURES,
    timeWindow: WINDOW_MS,
    cache: MAX_ADDRESSES,
    keyGenerator: readAddress,
  })
  const count = app.createRateLimit()
  let saidAt = -WINDOW_MS

  return async (request) => {
    if (request.headers.authorization === undefined) return 0
    const failures = await count(request)
    if (failures.isAllowed || !failures.isExceeded) return 0
    // Once a window, however many addresses: whoever sends them does not fill the log.
    if (performance.now() - saidAt >= WINDOW_MS) {
      saidAt = performance.now()
      request.log.warn({ address: failures.key }, 'too many wrong keys from an address')
    }
    return failures.ttlInSeconds
  }
}

/** Of IPv6 the /64, which is what one subscriber gets. A connection that has ended has none. */
function readAddress({ ip }: FastifyRequest): string {
  return isIP(ip) === 0 ? 'unknown' : normalizeIP(ip)
}
