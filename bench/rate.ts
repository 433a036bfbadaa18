/**
 * Measures how many requests the log source sends, relative to those that its share of the rate limit allows. The log
 * source reads a backlog over HTTP, once for each of several token buckets and fixed windows, all at the same time.
 *
 *   npm run bench:rate [-- seconds]
 */
import { createLogSource } from '../src/auth0/log-source.js'
import { createManagementApi } from '../src/auth0/management-api.js'
import { syntheticLogId } from '../src/rules/log-id.js'
import type { SimulatedRateLimit } from '../src/simulator/rate-limit.js'
import { createSimulator } from '../src/simulator/server.js'
import { createTenant } from '../src/simulator/tenant.js'

const DOMAIN = 'bench.example'
const SHARE = 0.5
const [seconds = '50'] = process.argv.slice(2)

const limits: SimulatedRateLimit[] = [
  { burst: 10, perSecond: 100 / 60 },
  { burst: 20, perSecond: 5 },
  { burst: 50, perSecond: 16 },
  { burst: 20, windowSeconds: 2 },
  { burst: 100, windowSeconds: 10 },
]

console.log(`share ${SHARE}, ${seconds} s\n`)
console.log('limit                        sent   allowed   ratio   refused')
const lines = await Promise.all(limits.map(measure))
console.log(lines.join('\n'))

async function measure(rateLimit: SimulatedRateLimit): Promise<string> {
  const tenant = createTenant({ domain: DOMAIN })
  const simulator = await createSimulator({ tenant, rateLimit, logTokenExchanges: false })
  const api = createManagementApi({
    domain: DOMAIN,
    baseUrl: simulator.url,
    ...simulator.credentials,
  })
  let firstAt = 0
  let lastAt = 0
  let sent = 0
  let refused = 0
  const source = createLogSource({
    api,
    rateShare: SHARE,
    observe: ({ status, durationMs }) => {
      lastAt = Date.now()
      if (sent === 0) firstAt = lastAt - durationMs
      sent += 1
      if (status === 429) refused += 1
    },
  })
  const from = syntheticLogId(Date.now() - 60_000)
  const stop = AbortSignal.timeout(Number(seconds) * 1000)
  while (!stop.aborted) await source.readPage(from, stop).catch(rethrowUnless(stop))
  await simulator.close()
  const allowed = requestsAllowedBy(rateLimit, firstAt, Date.now()) * SHARE
  const cells = [sent, allowed.toFixed(1), (sent / allowed).toFixed(3), refused]
  return `${describe(rateLimit)}${cells.map((cell) => String(cell).padStart(9)).join('')}`
}

function rethrowUnless(stop: AbortSignal) {
  return (error: unknown) => {
    if (!stop.aborted) throw error
  }
}

/** The number of requests that a rate limit allows all callers together between two instants. */
function requestsAllowedBy(rateLimit: SimulatedRateLimit, from: number, to: number): number {
  const { burst } = rateLimit
  if ('perSecond' in rateLimit) return burst + (rateLimit.perSecond * (to - from)) / 1000
  const windowMs = rateLimit.windowSeconds * 1000
  return burst * (Math.floor(to / windowMs) - Math.floor(from / windowMs) + 1)
}

function describe(rateLimit: SimulatedRateLimit): string {
  const how =
    'perSecond' in rateLimit
      ? `bucket, ${rateLimit.perSecond.toFixed(2)} per s`
      : `window of ${rateLimit.windowSeconds} s`
  return `${String(rateLimit.burst).padStart(3)}, ${how}`.padEnd(26)
}
