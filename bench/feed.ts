/**
 * Reports logouts to the API, and measures the time from the response until the last client refuses the user's tokens.
 * Repeats this for several numbers of clients. The clients run in other processes. Prints the ratio of this time to the
 * time of one echo over the loopback.
 *
 *   npm run bench:feed [-- reports clients,…]
 */
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { forkProcess, receiveMessage, startBenchRun } from './bench-run.js'
import type { ClientsReady } from './feed-clients.js'
import { type Figure, reportFigures } from './figures.js'
import { openBenchDatabase } from './open-bench-database.js'
import { quantile } from './quantile.js'
import { BENCH_KEY, startApi } from './start-api.js'

const CLIENTS_PER_PROCESS = 250
const WARM_UP_REPORTS = 10
/** Pause before each report. */
const PAUSE_MS = 60
const [reports = '100', clientCounts = '1,100,1000'] = process.argv.slice(2)

const run = startBenchRun()
const bench = await openBenchDatabase(run, 0)
const api = await startApi(run, bench.url)
console.log(`${reports} reported logouts, one at a time; all times in ms\n`)
// The p99 of fewer reports is their maximum.
const highest = Number(reports) < 200 ? 'max' : 'p99'
console.log(
  `clients   until the last client refuses: p50      ${highest}   echo: p50     ${highest}   ratio of ${highest}`,
)
const figures: Figure[] = []
for (const clientCount of clientCounts.split(',').map(Number)) {
  const processes = await openClients(clientCount)
  const [first] = processes
  if (first === undefined) throw new Error('there are no clients')
  const echo = connect(first.echoPort, '127.0.0.1').setNoDelay()
  await once(echo, 'connect')
  const children = processes.map(({ child }) => child)
  const delaysMs: number[] = []
  const echoesMs: number[] = []
  // The first reports open connections, and run code that is not compiled yet. Their times are not measured.
  for (let n = 0; n < WARM_UP_REPORTS; n++)
    await reportLogout(`auth0|${clientCount}-warm-up-${n}`, children)
  for (let n = 0; n < Number(reports); n++) {
    await sleep(PAUSE_MS)
    echoesMs.push(await measureEcho(echo))
    delaysMs.push(await reportLogout(`auth0|${clientCount}-${n}`, children))
  }
  const [delay50, delay99] = [quantile(delaysMs, 0.5), quantile(delaysMs, 0.99)]
  const [echo50, echo99] = [quantile(echoesMs, 0.5), quantile(echoesMs, 0.99)]
  console.log(
    `${String(clientCount).padStart(7)}   ${delay50.toFixed(1).padStart(35)} ${delay99.toFixed(1).padStart(8)}   ` +
      `${echo50.toFixed(2).padStart(9)} ${echo99.toFixed(2).padStart(7)}   ${(delay99 / echo99).toFixed(0)}`,
  )
  figures.push({
    name: `report to refusal by ${clientCount} clients`,
    peer: 'a write and its echo',
    ratios: delaysMs.map((delayMs) => delayMs / echo50),
    values: { p50Ms: delay50, p99Ms: delay99 },
  })
  echo.destroy()
  for (const child of children) child.kill()
}
reportFigures(figures)
await run.end()

/** Starts processes that together run `count` clients. */
async function openClients(count: number): Promise<{ child: ChildProcess; echoPort: number }[]> {
  const opened: { child: ChildProcess; echoPort: number }[] = []
  for (let first = 0; first < count; first += CLIENTS_PER_PROCESS) {
    const clients = Math.min(CLIENTS_PER_PROCESS, count - first)
    const child = forkProcess(run, 'feed-clients.ts', [api.url, String(clients)])
    const { echoPort } = await receiveMessage<ClientsReady>(child)
    opened.push({ child, echoPort })
  }
  return opened
}

/**
 * Reports a logout of a user. Returns the time from the response until the last client refuses the user's token, in
 * milliseconds. Returns 0 if all clients refuse it before the response.
 */
async function reportLogout(userId: string, children: ChildProcess[]): Promise<number> {
  const watching = children.map((child) => receiveMessage(child))
  for (const child of children) child.send(userId)
  await Promise.all(watching)
  const refused = children.map((child) => receiveMessage<number>(child))
  const response = await fetch(`${api.url}/v1/logouts`, {
    method: 'POST',
    headers: { authorization: `Bearer ${BENCH_KEY}`, 'content-type': 'application/json' },
    body: JSON.stringify({ user_id: userId }),
  })
  const respondedAtMs = performance.timeOrigin + performance.now()
  if (response.status !== 200) throw new Error(`the report failed with ${response.status}`)
  await response.arrayBuffer()
  const refusedAtMs = await Promise.all(refused)
  // A client can refuse the token before the response arrives here.
  return Math.max(0, Math.max(...refusedAtMs) - respondedAtMs)
}

/** Measures the round trip of a byte to the process of the first clients, in milliseconds. */
async function measureEcho(socket: Socket): Promise<number> {
  const startMs = performance.now()
  socket.write('x')
  await once(socket, 'data')
  return performance.now() - startMs
}
