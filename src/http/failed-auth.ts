import { isIP } from 'node:net'
import rateLimit, { normalizeIP } from '@fastify/rate-limit'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { throttle } from '../async/throttle.js'

/** Maximum number of wrong keys from one address in {@link COUNT_PERIOD_MS}. */
const MAX_FAILURES = 20

/** The period in which wrong keys are counted, in milliseconds. */
const COUNT_PERIOD_MS = 60_000

/** Maximum number of tracked addresses. After that, the least recently used address is evicted. */
const MAX_ADDRESSES = 10_000

/** Records a failed request. Returns the number of seconds until the address may retry; 0: it may retry at once. */
type RecordFailure = (request: FastifyRequest) => Promise<number>

/** Throttles addresses that send wrong keys. Returns the function that records a wrong key. */
export async function throttleFailedAuth(app: FastifyInstance): Promise<RecordFailure> {
  const logUnknownKey = throttle(COUNT_PERIOD_MS, (address: string) =>
    app.log.warn({ address }, 'unknown key rejected'),
  )
  await app.register(rateLimit, {
    global: false,
    max: MAX_FAILURES,
    timeWindow: COUNT_PERIOD_MS,
    cache: MAX_ADDRESSES,
    keyGenerator: readAddress,
  })
  const record = countFailures(app.createRateLimit(), (address) =>
    app.log.warn({ address }, 'too many wrong keys from an address'),
  )
  return (request) => {
    logUnknownKey(readAddress(request))
    return record(request)
  }
}

/**
 * Returns a function that logs a request whose key lacks the role of its route. Logs each caller at most once per
 * period.
 */
export function logMissingRoles(app: FastifyInstance): (request: FastifyRequest) => void {
  const loggers = new Map<string | undefined, (request: FastifyRequest) => void>()
  const log = (request: FastifyRequest) => {
    const { access = 'any key' } = request.routeOptions.config
    const fields = { caller: request.caller?.name, access, address: readAddress(request) }
    app.log.warn(fields, 'key without the role rejected')
  }
  return (request) => {
    const caller = request.caller?.name
    const logCaller = loggers.get(caller) ?? throttle(COUNT_PERIOD_MS, log)
    loggers.set(caller, logCaller)
    logCaller(request)
  }
}

/**
 * Returns a function that counts the failed requests of each address. Each kind of failure needs its own counter.
 *
 * @param onExceeded Called with an address that has failed too often. Called at most once per period for all addresses
 *   together, so that an attacker cannot flood the log.
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
 * Returns the IPv4 address of the caller, or the /64 prefix of the IPv6 address, because an internet provider usually
 * gives each customer a whole /64 network. Returns `unknown` for a closed connection.
 */
function readAddress({ ip }: FastifyRequest): string {
  return isIP(ip) === 0 ? 'unknown' : normalizeIP(ip)
}
