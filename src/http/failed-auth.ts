import { isIP } from 'node:net'
import rateLimit, { normalizeIP } from '@fastify/rate-limit'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { throttle } from '../async/throttle.js'

/** Maximum number of wrong keys from one address in a window. */
const MAX_FAILURES = 20

/** Length of a window, in milliseconds. */
const WINDOW_MS = 60_000

/** Maximum number of tracked addresses. The least recently used one is evicted. */
const MAX_ADDRESSES = 10_000

/**
 * Throttles addresses that send wrong keys.
 *
 * @returns A function that records a failed request, and returns after how many seconds the address may retry, or 0
 *   while the address is not throttled. A request without a key does not count.
 */
export async function throttleFailedAuth(
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
  // Once per window for all addresses together: an attacker must not be able to flood the log.
  const warn = throttle(WINDOW_MS, (address: string) =>
    app.log.warn({ address }, 'too many wrong keys from an address'),
  )

  return async (request) => {
    if (request.headers.authorization === undefined) return 0
    const failures = await count(request)
    if (failures.isAllowed || !failures.isExceeded) return 0
    warn(failures.key)
    return failures.ttlInSeconds
  }
}

/** Returns the /64 prefix of an IPv6 address, the usual size of one customer's network. A closed connection has no address. */
function readAddress({ ip }: FastifyRequest): string {
  return isIP(ip) === 0 ? 'unknown' : normalizeIP(ip)
}
