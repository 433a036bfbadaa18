/**
 * Compares the throughput of a catch-up with the throughput of a bare loop, at several latencies of Auth0. The bare
 * loop fetches and parses the same pages, and does nothing else. Both run alternately, so that other load of the
 * machine affects both.
 *
 *   npm run bench:catch-up [-- rounds]
 */
import { pino } from 'pino'
import { createLogSource } from '../src/auth0/log-source.js'
import { createManagementApi } from '../src/auth0/management-api.js'
import { syntheticLogId } from '../src/rules/log-id.js'
import { createDatabase } from '../src/store/database.js'
import { createLastLogoutStore } from '../src/store/last-logout-store.js'
import { applyMigrations } from '../src/store/migrations.js'
import { catchUp } from '../src/sync/catch-up.js'
import { createProgressGuard } from '../src/sync/progress-guard.js'
import { forkProcess, receiveMessage, startBenchRun } from './bench-run.js'
import { type Figure, reportFigures } from './figures.js'
import { median } from './median.js'
import { openTemporaryPostgres } from './temporary-postgres.js'

const figures: Figure[] = []
const DOMAIN = 'bench.example'
/** The latencies, and the number of entries that a run reads at each latency: enough for about two seconds. */
const SETTINGS = [
  { latencyMs: 0, entries: 40_000 },
  { latencyMs: 20, entries: 8_000 },
  { latencyMs: 80, entries: 3_000 },
]
const ENTRIES = Math.max(...SETTINGS.map(({ entries }) => entries))
const LOGOUT_TYPES = new Set(['slo', 'universal_logout_succeeded'])
const [rounds = '5'] = process.argv.slice(2)

/** The fields of a log entry that this benchmark reads. */
interface LogEntry {
  log_id: string
  type: string
  user_id?: string | null
  details?: { session_id?: string }
}

/** The message that `tenant-process.ts` sends. It contains one URL for each latency. */
interface TenantMessage {
  startMs: number
  endMs: number
  urls: string[]
  credentials: { clientId: string; clientSecret: string }
}

const run = startBenchRun()
const tenantProcess = forkProcess(run, 'tenant-process.ts', [
  String(ENTRIES),
  ...SETTINGS.map(({ latencyMs }) => String(latencyMs)),
])
const { startMs, endMs, urls, credentials } = await receiveMessage<TenantMessage>(tenantProcess)

const postgres = await openTemporaryPostgres(run)
await applyMigrations(postgres.url)
const database = createDatabase(postgres.url, pino({ level: 'warn' }))
run.closers.push(database.close)
const store = createLastLogoutStore({
  database,
  domain: DOMAIN,
  horizonMs: 0,
})
await store.claim()

console.log(`entries of at least 1.5 kB, 20 % logouts, in pages of 100; ${rounds} rounds\n`)
console.log('latency   bare loop   catch-up   ratio: median (min to max)')
for (const [index, { latencyMs, entries }] of SETTINGS.entries()) {
  const url = urls[index] ?? ''
  const begin = syntheticLogId(Math.floor(endMs - (entries / ENTRIES) * (endMs - startMs)))
  const bareLoopRates: number[] = []
  const catchUpRates: number[] = []
  // During the first rounds, V8 compiles the code. These rounds do not count.
  const warmUpRounds = index === 0 ? 2 : 0
  for (let round = -warmUpRounds; round < Number(rounds); round++) {
    bareLoopRates.push(await pagesPerSecond(() => bareLoop(url, begin)))
    await database.prisma.$executeRaw`TRUNCATE last_logout, session_logout, unattributable`
    await database.prisma
      .$executeRaw`UPDATE tenant SET checkpoint = ${begin}, as_of = NULL, seq = 0`
    catchUpRates.push(await pagesPerSecond(() => fullCatchUp(url)))
  }
  await requireStoredRows(url, begin)
  for (const rates of [bareLoopRates, catchUpRates]) rates.splice(0, warmUpRounds)
  const ratios = catchUpRates
    .map((value, round) => value / (bareLoopRates[round] ?? Number.NaN))
    .sort((a, b) => a - b)
  const [min = 0, max = 0] = [ratios[0], ratios.at(-1)]
  console.log(
    `${String(latencyMs).padStart(4)} ms  ${formatRate(median(bareLoopRates))}/s  ${formatRate(median(catchUpRates))}/s   ` +
      `${median(ratios).toFixed(3)} (${min.toFixed(3)} to ${max.toFixed(3)})`,
  )
  figures.push({
    name: `catch-up at ${latencyMs} ms of latency`,
    peer: 'fetching and parsing',
    ratios,
    atLeast: latencyMs === 0 ? 0.6 : 0.95,
    values: { latencyMs, pagesPerSecond: median(catchUpRates) },
  })
}
reportFigures(figures)
await run.end()

/** Requires that the tables hold a row of each user and session whose logout was stored after `begin`. */
async function requireStoredRows(url: string, begin: string): Promise<void> {
  const users = new Set<string>()
  const sessions = new Set<string>()
  await bareLoop(url, begin, ({ type, user_id: userId, details }) => {
    if (!LOGOUT_TYPES.has(type)) return
    if (userId) users.add(userId)
    if (details?.session_id) sessions.add(details.session_id)
  })
  const stored = await store.count()
  if (users.size === 0 || stored.users !== users.size || stored.sessions !== sessions.size) {
    throw new Error(
      `the catch-up stored ${stored.users} users and ${stored.sessions} sessions, and not the ` +
        `${users.size} and ${sessions.size} of the log`,
    )
  }
}

/**
 * Fetches and parses all pages from the checkpoint `begin`. Returns the number of pages.
 *
 * @param onEntry Called for each entry. Default: nothing is called.
 */
async function bareLoop(
  url: string,
  begin: string,
  onEntry?: (entry: LogEntry) => void,
): Promise<number> {
  const form = { grant_type: 'client_credentials', client_id: credentials.clientId }
  const body = {
    ...form,
    client_secret: credentials.clientSecret,
    audience: `https://${DOMAIN}/api/v2/`,
  }
  const response = await fetch(`${url}/oauth/token`, {
    method: 'POST',
    body: new URLSearchParams(body),
  })
  const { access_token } = (await response.json()) as { access_token: string }
  const headers = { authorization: `Bearer ${access_token}` }
  let checkpoint = begin
  for (let pages = 0; ; pages++) {
    const page = await fetch(`${url}/api/v2/logs?from=${checkpoint}&take=100`, { headers })
    const entries = (await page.json()) as LogEntry[]
    if (onEntry !== undefined) for (const entry of entries) onEntry(entry)
    const last = entries.at(-1)
    if (last === undefined) return pages
    checkpoint = last.log_id
  }
}

/** Reads and stores all pages from the stored checkpoint. Returns the number of pages. */
async function fullCatchUp(baseUrl: string): Promise<number> {
  const api = createManagementApi({ domain: DOMAIN, baseUrl, ...credentials })
  const source = createLogSource({ api, rateShare: 1 })
  let pages = 0
  const onProgress = () => void pages++
  const { signal } = new AbortController()
  await createProgressGuard().run(store.readProgress, signal, (startLoop) =>
    catchUp({ source, store, types: LOGOUT_TYPES, onProgress, startLoop }, signal),
  )
  return pages
}

async function pagesPerSecond(run: () => Promise<number>): Promise<number> {
  const startedAt = performance.now()
  const pages = await run()
  return (pages * 1000) / (performance.now() - startedAt)
}

function formatRate(value: number): string {
  return value.toFixed(1).padStart(8)
}
