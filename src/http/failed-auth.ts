import { isIP } from 'node:net'
import rateLimit, { normalizeIP } from '@fastify/rate-limit'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { throttle } from '../async/throttle.js'

/** Maximum number of wrong keys from one address in a period. */
const MAX_FAILURES = 20

/** The period in which wrong keys are counted, in milliseconds. */
const COUNT_PERIOD_MS = 60_000

/** Maximum number of tracked addresses. If there are more, the least recently used address is evicted. */
const MAX_ADDRESSES = 10_000

/**
 * Throttles addresses that send wrong keys.
 *
 * @returns A function that records a failed request. It returns after how many seconds the address may retry, or 0 if
 *   the address is not throttled. A request without a key does not count.
 */
export async function throttleFailedAuth(
  app: FastifyInstance,
): Promise<(request: FastifyRequest) => Promise<number>> {
  await app.register(rateLimit, {
    global: false,
    max: MAX_FAILURES,
    timeWindow: COUNT_PERIOD_MS,
    cache: MAX_ADDRESSES,
    keyGenerator: readAddress,
  })
  const count = app.createRateLimit()
  // One line per period for all addresses together: an attacker must not be able to flood the log.
  const warn = throttle(COUNT_PERIOD_MS, (address: string) =>
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

/**
 * Returns the IPv4 address of the caller, or the /64 prefix of its IPv6 address: one customer usually has a whole /64
 * network. Returns `unknown` for a closed connection, which has no address.
 */
function readAddress({ ip }: FastifyRequest): string {
  return isIP(ip) === 0 ? 'unknown' : normalizeIP(ip)
}
