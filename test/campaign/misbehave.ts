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
} from '../../src/simulator/faults.js'
import { pick, type Random, seededRandom } from '../../src/simulator/random.js'
import type { Simulator } from '../../src/simulator/server.js'
import type { Tenant } from '../../src/simulator/tenant.js'

/** Of the questions about the log. More, and no worker would live to store a page. */
const FAULT_SHARE = 0.06
/** How far back a page begins that repeats what has been delivered. */
const REPEATED_MS = 4_000

/** Lets a tenant's API fail every now and then, by a seed, until its faults are cleared. */
export function misbehave({ tenant, faults }: Simulator, seed: number): void {
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

/** A page that begins before the checkpoint: what was delivered once comes again, before what is new. */
function repeatedPage(tenant: Tenant): FaultHandler {
  return (reply) => {
    const from = new URL(reply.request.url, 'http://simulator').searchParams.get('from')
    const begin = tenant.positionAt(tenant.now() - REPEATED_MS)
    // What nobody has read yet may not be passed over.
    if (from === null || from < begin) return
    const page = tenant.readAfter(begin, 100)
    const last = page.at(-1)?.logId
    // A page that does not go beyond the checkpoint would be none that Auth0 gives.
    if (last === undefined || last <= from) return
    return reply.type('application/json').send(`[${page.map(({ json }) => json).join(',')}]`)
  }
}
