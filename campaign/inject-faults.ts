import {
  connectionReset,
  cutOffBody,
  cutOffJson,
  delay,
  type FaultHandler,
  html,
  invalidToken,
  rateLimited,
  respondWith,
} from '../src/simulator/faults.js'
import { pick, type Random, seededRandom } from '../src/simulator/random.js'
import type { Simulator } from '../src/simulator/server.js'
import type { Tenant } from '../src/simulator/tenant.js'

/**
 * Share of the requests to the Logs API that fail. If more requests failed, no worker would store a page before its
 * kill.
 */
const FAULT_SHARE = 0.06

/** A repeated page begins with the entries that were stored this time ago, in milliseconds. */
const REPEATED_SPAN_MS = 4_000

/** Maximum number of entries in a page of the Logs API. */
const PAGE_SIZE = 100

/** Makes random requests to the Logs API fail until `faults` is cleared. The seed determines which requests fail. */
export function injectFaults({ tenant, faults }: Simulator, seed: number): void {
  const random = seededRandom(seed)
  faults.push({
    path: '/api/v2/logs',
    when: () => random() < FAULT_SHARE,
    times: Infinity,
    respond: (reply) => pick(random, FAULTS)({ random, tenant })(reply),
  })
}

/** Creates the response to one failing request. */
type CreateFault = (context: { random: Random; tenant: Tenant }) => FaultHandler

/** Each fault has the same probability. The repeated page is listed twice, so it has twice the probability. */
const FAULTS: CreateFault[] = [
  () => rateLimited({ 'retry-after': '1' }),
  () => respondWith(500, { statusCode: 500, error: 'Internal Server Error', message: 'Sorry' }),
  () => html(502),
  () => html(200),
  () => cutOffJson(),
  () => cutOffBody(),
  () => connectionReset(),
  () => invalidToken(),
  ({ random }) => delay(random() * 1_500),
  ({ tenant }) => repeatedPage(tenant),
  ({ tenant }) => repeatedPage(tenant),
]

/** Responds with a page that begins before the requested checkpoint, so that it repeats entries of earlier pages. */
function repeatedPage(tenant: Tenant): FaultHandler {
  return (reply) => {
    const checkpoint = new URL(reply.request.url, 'http://simulator').searchParams.get('from')
    const firstPosition = tenant.positionAt(tenant.now() - REPEATED_SPAN_MS)
    // Without a response from here, the simulator responds as usual. A page that begins after the checkpoint would skip
    // entries that the worker has not read.
    if (checkpoint === null || checkpoint < firstPosition) return
    const page = tenant.readAfter(firstPosition, PAGE_SIZE)
    const lastLogId = page.at(-1)?.logId
    // Auth0 never returns a page that ends before the checkpoint.
    if (lastLogId === undefined || lastLogId <= checkpoint) return
    const body = `[${page.map(({ json }) => json).join(',')}]`
    return reply.headers({ 'content-type': 'application/json' }).send(body)
  }
}
