/**
 * Simulates the tenant of a soak in its own process. Writes entries at a fixed rate. A tenth of the entries are
 * logouts. Sends each logout to the parent process too.
 */
import { buildEntry } from '../src/simulator/entries.js'
import { buildPeople, sessionFor } from '../src/simulator/people.js'
import { pick, seededRandom } from '../src/simulator/random.js'
import { createSimulator } from '../src/simulator/server.js'
import { createTenant } from '../src/simulator/tenant.js'
import type { TenantMessage } from './messages.js'

/** Interval in which the entries that are due are written. */
const TICK_MS = 100
/** Share of logouts among the entries. */
const LOGOUT_SHARE = 0.1
const MAX_STORAGE_DELAY_MS = 6_000

/** Latency of each response, in milliseconds, as over the Internet. The loopback interface adds almost none. */
const LATENCY_MS = 200
const OTHER_TYPES = ['s', 'seacft', 'sertft', 'sertft', 'ssa', 'seccft']

const [entriesPerSecond = 0, userCount = 0] = process.argv.slice(2).map(Number)
const random = seededRandom(1)
const tenant = createTenant({ domain: 'soak.example' })
const people = buildPeople(userCount, tenant.domain)
const simulator = await createSimulator({
  tenant,
  // The rate limit of the Logs API in Auth0's self-service plans.
  rateLimit: { burst: 10, perSecond: 100 / 60 },
  latencyMs: LATENCY_MS,
})

function writeEntry(): void {
  const person = pick(random, people)
  const isLogout = random() < LOGOUT_SHARE
  const type = isLogout ? 'slo' : pick(random, OTHER_TYPES)
  const sessionId = sessionFor(type, person, random)
  const dateMs = tenant.now()
  // A poll can have read the log up to the current millisecond, so the entry is stored at least one millisecond later.
  const storedAtMs = dateMs + 1 + Math.floor(random() * MAX_STORAGE_DELAY_MS)
  tenant.write(buildEntry(type, { ...person.subject, sessionId }), { dateMs, storedAtMs })
  if (!isLogout) return
  const { userId } = person.subject
  send({ kind: 'logout', logout: { userId, sessionId, dateMs, storedAtMs } })
}

function send(message: TenantMessage): void {
  process.send?.(message)
}

const startedAt = performance.now()
let writtenEntries = 0
setInterval(() => {
  const dueEntries = ((performance.now() - startedAt) * entriesPerSecond) / 1_000
  for (; writtenEntries < dueEntries; writtenEntries++) writeEntry()
}, TICK_MS)

// The only message of the parent process requests a report.
process.on('message', () => {
  const requests = simulator.requests.all()
  const rateLimited = requests.filter(({ status }) => status === 429).length
  send({ kind: 'report', report: { writtenEntries, requests: requests.length, rateLimited } })
})
process.on('disconnect', () => process.exit())
send({ kind: 'serving', url: simulator.url, credentials: simulator.credentials })
