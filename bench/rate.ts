/**
 * The log source is the part of the worker that reads Auth0's log. Compares the number of requests that it sends with
 * the number that its share of Auth0's rate limit allows. Measures several rate limits at the same time: token buckets
 * and fixed windows.
 *
 *   npm run bench:rate [-- seconds]
 */
import { createLogSource } from '../src/auth0/log-source.js'
import { createManagementApi } from '../src/auth0/management-api.js'
import { syntheticLogId } from '../src/rules/log-id.js'
import type { SimulatedRateLimit } from '../src/simulator/rate-limit.js'
import { createSimulator } from '../src/simulator/server.js'
import { createTenant } from '../src/simulator/tenant.js'
import { openInRun, startBenchRun } from './bench-run.js'
import { type Figure, reportFigures } from './figures.js'

const DOMAIN = 'bench.example'
/** The share of the rate limit that the log source may use. */
const RATE_SHARE = 0.5
const [seconds = '50'] = process.argv.slice(2)

const limits: SimulatedRateLimit[] = [
  { burst: 10, perSecond: 100 / 60 },
  { burst: 20, perSecond: 5 },
  { burst: 50, perSecond: 16 },
  { burst: 20, windowSeconds: 2 },
  { burst: 100, windowSeconds: 10 },
]

console.log(`share ${RATE_SHARE}, ${seconds} s\n`)
console.log('limit                        sent   allowed   ratio       429')
const run = startBenchRun()
const results = await Promise.all(limits.map(measure))
console.log(results.map(({ line }) => line).join('\n'))
reportFigures(results.map(({ figure }) => figure))
await run.end()

async function measure(rateLimit: SimulatedRateLimit): Promise<{ line: string; figure: Figure }> {
  const tenant = createTenant({ domain: DOMAIN })
  const simulator = await openInRun(
    run,
    createSimulator({ tenant, rateLimit, logTokenExchanges: false }),
  )
  const api = createManagementApi({
    domain: DOMAIN,
    baseUrl: simulator.url,
    ...simulator.credentials,
  })
  let firstSentAtMs = 0
  let lastReceivedAtMs = 0
  let sentRequests = 0
  let rateLimitedRequests = 0
  const source = createLogSource({
    api,
    rateShare: RATE_SHARE,
    observe: ({ status, durationMs }) => {
      lastReceivedAtMs = Date.now()
      if (sentRequests === 0) firstSentAtMs = lastReceivedAtMs - durationMs
      sentRequests += 1
      if (status === 429) rateLimitedRequests += 1
    },
  })
  const checkpoint = syntheticLogId(Date.now() - 60_000)
  const signal = AbortSignal.timeout(Number(seconds) * 1000)
  while (!signal.aborted)
    await source.readPage(checkpoint, signal).catch(rethrowUnlessAborted(signal))
  const allowedRequests = requestsAllowedBy(rateLimit, firstSentAtMs, Date.now()) * RATE_SHARE
  const cells = [
    sentRequests,
    allowedRequests.toFixed(1),
    (sentRequests / allowedRequests).toFixed(3),
    rateLimitedRequests,
  ]
  return {
    line: `${formatLimit(rateLimit)}${cells.map((cell) => String(cell).padStart(9)).join('')}`,
    figure: {
      name: 'requests to Auth0',
      peer: `${RATE_SHARE} of ${formatLimit(rateLimit).trim()}`,
      ratios: [sentRequests / allowedRequests],
      atMost: 1,
    },
  }
}

function rethrowUnlessAborted(signal: AbortSignal) {
  return (error: unknown) => {
    if (!signal.aborted) throw error
  }
}

/** Returns the number of requests that the rate limit allows to all callers together between two instants. */
function requestsAllowedBy(rateLimit: SimulatedRateLimit, fromMs: number, toMs: number): number {
  const { burst } = rateLimit
  if ('perSecond' in rateLimit) return burst + (rateLimit.perSecond * (toMs - fromMs)) / 1000
  const windowMs = rateLimit.windowSeconds * 1000
  return burst * (Math.floor(toMs / windowMs) - Math.floor(fromMs / windowMs) + 1)
}

function formatLimit(rateLimit: SimulatedRateLimit): string {
  const refill =
    'perSecond' in rateLimit
      ? `bucket, ${rateLimit.perSecond.toFixed(2)} per s`
      : `window of ${rateLimit.windowSeconds} s`
  return `${String(rateLimit.burst).padStart(3)}, ${refill}`.padEnd(26)
}
