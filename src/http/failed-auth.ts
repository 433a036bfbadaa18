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

/** Records a failed request. Returns after how many seconds the address may retry; 0: it has not failed too often. */
type RecordFailure = (request: FastifyRequest) => Promise<number>

/** Throttles addresses that send wrong keys. */
export async function throttleFailedAuth(app: FastifyInstance): Promise<RecordFailure> {
  await app.register(rateLimit, {
    global: false,
    max: MAX_FAILURES,
    timeWindow: COUNT_PERIOD_MS,
    cache: MAX_ADDRESSES,
    keyGenerator: readAddress,
  })
  return countFailures(app.createRateLimit(), (address) =>
    app.log.warn({ address }, 'too many wrong keys from an address'),
  )
}

/**
 * Counts failed requests of one kind for each address.
 *
 * @param onExceeded Called with the address when it has failed too often, at most once per period for all addresses
 *   together: an attacker must not be able to flood the log.
 */
export function countFailures(
  count: ReturnType<FastifyInstance['createRateLimit']>,
  onExceeded: (address: string) => void,
): RecordFailure {
  const report = throttle(COUNT_PERIOD_MS, onExceeded)
  return async (request) => {
    const failures = await count(request)
    if (failures.isAllowed || !failures.isExceeded) return 0
    report(failures.key)
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
