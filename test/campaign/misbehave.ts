import {
  answer,
  connectionReset,
  cutOffBody,
  cutOffJson,
  delay,
  html,
  invalidToken,
  type Misbehave,
  rateLimited,
} from '../../src/simulator/faults.js'
import { pick, type Random, seededRandom } from '../../src/simulator/random.js'
import type { Simulator } from '../../src/simulator/server.js'
import type { Tenant } from '../../src/simulator/tenant.js'

const EVERY_MS = 700
/** No more than the retries of one question get over. */
const MOST_PENDING = 3
/** How far back a page begins that repeats what has been delivered. */
const REPEATED_MS = 4_000

/** Lets a tenant's API fail every now and then, by a seed; returns how to end that. */
export function startMisbehaving({ tenant, faults }: Simulator, seed: number): () => void {
  const random = seededRandom(seed)
  const timer = setInterval(() => {
    const respond = pick(random, FAULTS)({ random, tenant })
    if (faults.pending() < MOST_PENDING) faults.push({ path: '/api/v2/logs', respond })
  }, EVERY_MS)
  return () => {
    clearInterval(timer)
    faults.clear()
  }
}

type MakeFault = (by: { random: Random; tenant: Tenant }) => Misbehave

const FAULTS: MakeFault[] = [
  () => rateLimited({ 'retry-after': '1' }),
  () => answer(500, { statusCode: 500, error: 'Internal Server Error', message: 'Sorry' }),
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
function repeatedPage(tenant: Tenant): Misbehave {
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
