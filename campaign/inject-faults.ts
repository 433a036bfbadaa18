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

/** Share of the log requests that fail. With a larger share, no worker would store a page before it is killed. */
const FAULT_SHARE = 0.06
/** How far before the present a repeated page begins, in milliseconds. */
const REPEATED_MS = 4_000

/** Makes requests to a tenant's API fail at random until its faults are cleared. A seed determines the failures. */
export function injectFaults({ tenant, faults }: Simulator, seed: number): void {
  const random = seededRandom(seed)
  faults.push({
    path: '/api/v2/logs',
    when: () => random() < FAULT_SHARE,
    times: Infinity,
    respond: (reply) => pick(random, FAULTS)({ random, tenant })(reply),
  })
}

type MakeFault = (by: { random: Random; tenant: Tenant }) => FaultHandler

const FAULTS: MakeFault[] = [
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

/** A page that begins before the checkpoint, with entries that earlier pages contained. */
function repeatedPage(tenant: Tenant): FaultHandler {
  return (reply) => {
    const from = new URL(reply.request.url, 'http://simulator').searchParams.get('from')
    const begin = tenant.positionAt(tenant.now() - REPEATED_MS)
    // If the checkpoint is older than the page would be, the page would skip entries that were not read yet.
    if (from === null || from < begin) return
    const page = tenant.readAfter(begin, 100)
    const last = page.at(-1)?.logId
    // Auth0 never returns a page that ends before the checkpoint.
    if (last === undefined || last <= from) return
    const body = `[${page.map(({ json }) => json).join(',')}]`
    return reply.headers({ 'content-type': 'application/json' }).send(body)
  }
}
