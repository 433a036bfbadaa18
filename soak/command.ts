/**
 * Measures the memory, the connections and the freshness of `last-logout start` over time. Freshness means here how
 * soon subscribers receive a logout. Per second, the tenant writes 50 entries, and the load sends 500 reads. The tenant
 * allows 100 requests per minute, and responds after 200 ms. The service, the tenant and the load run in separate
 * processes. Needs /proc of Linux. `--share` is the value of `RATE_SHARE`.
 *
 *   npm run soak [-- --minutes 10 --share 0.5]
 *
 * A poll sends three requests every five seconds: 36 requests per minute. The default share allows 50 requests per
 * minute. The remaining 14 are for a reconcile, which searches the recent log again for late entries.
 */
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { createClosers } from '../src/async/closers.js'
import type { LoadReport, TenantMessage, TenantReport } from './messages.js'
import { openPostgres, type SoakDatabase } from './postgres.js'
import { nextMessage, readProcess, startProcess, startService } from './processes.js'
import { judgeSoak, type Sample } from './verdict.js'

const ENTRIES_PER_SECOND = 50
const READS_PER_SECOND = 500
const SUBSCRIBER_COUNT = 2
const USER_COUNT = 1_000
const POLL_INTERVAL_MS = 5_000
const SAMPLE_INTERVAL_MS = 5_000
/** The run prints a line after this number of samples. */
const SAMPLES_PER_LINE = 6
const WARM_UP_MS = 30_000
/** Maximum time of the first sweep: at its first start, a worker searches the log of the past for logouts. */
const SWEEP_TIMEOUT_MS = 120_000
const API_KEY = 'soak-key-of-at-least-32-characters'

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    share: { type: 'string', default: '0.5' },
  },
})
const minutes = Number(values.minutes)
if (!(minutes >= 1)) throw new TypeError('--minutes must be at least 1')

const interruption = new AbortController()
// At Ctrl-C, both the terminal and npm send a signal. The second signal must not interrupt the cleanup.
for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, () => interruption.abort())
const { signal } = interruption
const closers = createClosers()
const processHandlers = { closers, onUnexpectedExit: (error: Error) => interruption.abort(error) }
try {
  await runSoak()
} catch (error) {
  process.exitCode = 1
  // After SIGINT or SIGTERM, `signal.reason` is a DOMException. After an unexpected exit, it is the error of the
  // process.
  if (signal.aborted && !(signal.reason instanceof DOMException)) throw signal.reason
  if (!signal.aborted) throw error
  console.log('stopped')
} finally {
  await closers.close()
}

async function runSoak(): Promise<void> {
  const database = await openPostgres(closers)
  const tenant = startProcess('tenant.ts', [ENTRIES_PER_SECOND, USER_COUNT], processHandlers)
  const { url, credentials } = await nextMessage(tenant, 'serving', signal)
  const env = {
    AUTH0_DOMAIN: 'soak.example',
    AUTH0_BASE_URL: url,
    AUTH0_CLIENT_ID: credentials.clientId,
    AUTH0_CLIENT_SECRET: credentials.clientSecret,
    DATABASE_URL: database.url,
    API_KEYS: `soak:${API_KEY}`,
    PORT: '0',
    POLL_INTERVAL: `${POLL_INTERVAL_MS}ms`,
    RATE_SHARE: values.share,
  }
  const service = await startService(env, processHandlers)
  const loadArguments = [service.url, API_KEY, READS_PER_SECOND, USER_COUNT, SUBSCRIBER_COUNT]
  const load = startProcess('load.ts', loadArguments, processHandlers)
  await once(load, 'message', { signal })
  let isMeasuring = false
  // Without a listener, the messages from before the measurement would be buffered, and delivered later.
  tenant.on('message', (message: TenantMessage) => {
    if (isMeasuring && message.kind === 'logout' && load.connected) load.send(message.logout)
  })
  await waitForFirstSweep(database)
  // The first sweep has used up the share of the rate limit, so the next polls are delayed.
  console.log(`warming up for ${WARM_UP_MS / 1_000} s`)
  await sleep(WARM_UP_MS, undefined, { signal })
  // Resets the measurements of the load.
  await requestLoadReport(load)
  isMeasuring = true
  await measure({ database, tenant, load, pid: service.pid })
}

/** The running parts of a soak. */
interface MeasuredProcesses {
  database: SoakDatabase
  tenant: ChildProcess
  load: ChildProcess
  /** The process id of the service. */
  pid: number
}

async function measure({ database, tenant, load, pid }: MeasuredProcesses): Promise<void> {
  console.log(
    `${ENTRIES_PER_SECOND} entries/s and ${READS_PER_SECOND} reads/s for ${minutes} minutes; a poll every ${POLL_INTERVAL_MS / 1_000} s, 100 requests per minute, with a share of ${values.share}\n`,
  )
  console.log(
    ' time   memory  conn  sockets  reads/s  failed   p50    p99   delay    age  requests/min  429',
  )
  const samples: Sample[] = []
  const totals = {
    successfulReads: 0,
    failedReads: 0,
    maxDelaySinceStorageMs: 0,
    receivedLogouts: 0,
  }
  let previous = await requestTenantReport(tenant)
  const startedAt = performance.now()
  while (samples.length < (minutes * 60_000) / SAMPLE_INTERVAL_MS) {
    await sleep(SAMPLE_INTERVAL_MS, undefined, { signal })
    const atMs = performance.now() - startedAt
    samples.push({
      atMs,
      ...(await readProcess(pid)),
      connections: await database.countConnections(),
    })
    if (samples.length % SAMPLES_PER_LINE !== 0) continue
    const report = await requestLoadReport(load)
    const current = await requestTenantReport(tenant)
    totals.successfulReads += report.successfulReads
    totals.failedReads += report.failedReads
    totals.receivedLogouts += report.receivedLogouts
    totals.maxDelaySinceStorageMs = Math.max(
      totals.maxDelaySinceStorageMs,
      report.maxDelaySinceStorageMs,
    )
    console.log(formatLine(samples, report, previous, current))
    previous = current
  }
  console.log()
  for (const { kept, text } of judgeSoak(samples, totals, POLL_INTERVAL_MS)) {
    console.log(`${kept ? 'kept  ' : 'BROKEN'}  ${text}`)
    if (!kept) process.exitCode = 1
  }
}

function formatLine(
  samples: Sample[],
  report: LoadReport,
  previous: TenantReport,
  current: TenantReport,
): string {
  const seconds = (SAMPLE_INTERVAL_MS * SAMPLES_PER_LINE) / 1_000
  const { atMs = 0, rssMiB = 0, connections = 0, sockets = 0 } = samples.at(-1) ?? {}
  return [
    `${Math.round(atMs / 1_000)} s`.padStart(5),
    `${rssMiB.toFixed(0)} MiB`.padStart(7),
    String(connections).padStart(4),
    String(sockets).padStart(7),
    (report.successfulReads / seconds).toFixed(0).padStart(7),
    String(report.failedReads).padStart(6),
    `${report.p50Ms.toFixed(1)}`.padStart(4),
    `${report.p99Ms.toFixed(0)} ms`.padStart(5),
    `${(report.maxDelaySinceStorageMs / 1_000).toFixed(1)} s`.padStart(6),
    `${(report.maxAgeMs / 1_000).toFixed(1)} s`.padStart(5),
    (((current.requests - previous.requests) * 60) / seconds).toFixed(0).padStart(12),
    String(current.rateLimited - previous.rateLimited).padStart(3),
  ].join('  ')
}

async function waitForFirstSweep(database: SoakDatabase): Promise<void> {
  const deadline = performance.now() + SWEEP_TIMEOUT_MS
  while (!(await database.isFirstSweepComplete())) {
    if (performance.now() > deadline)
      throw new Error(`the first sweep did not complete within ${SWEEP_TIMEOUT_MS} ms`)
    await sleep(500, undefined, { signal })
  }
}

async function requestTenantReport(tenant: ChildProcess): Promise<TenantReport> {
  tenant.send('report')
  return (await nextMessage(tenant, 'report', signal)).report
}

async function requestLoadReport(load: ChildProcess): Promise<LoadReport> {
  load.send('report')
  const [report] = (await once(load, 'message', { signal })) as [LoadReport]
  return report
}
