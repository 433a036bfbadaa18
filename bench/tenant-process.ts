import { generateHistory } from '../src/simulator/history.js'
import { createSimulator } from '../src/simulator/server.js'
import { createTenant } from '../src/simulator/tenant.js'

/**
 * Simulates a tenant in its own process. The log has a given number of entries. For each given latency, a server with
 * its own URL responds after this time. Sends the URLs, the credentials, and the storage times of the log to the parent
 * process. Runs until the parent process ends it. The arguments are the number of entries and the latencies in
 * milliseconds.
 */
const [entryCount = '0', ...latencies] = process.argv.slice(2)
/** The time between the first and the last entry of the log. */
const LOG_SPAN_MS = 3_000_000
const endMs = Date.now()
const startMs = endMs - LOG_SPAN_MS
const tenant = createTenant({ domain: 'bench.example' })
tenant.writeStored(
  generateHistory({
    entries: Number(entryCount),
    startMs,
    endMs,
    users: 10_000,
    logoutShare: 0.2,
    bytes: 1_500,
  }),
)
const simulators = await Promise.all(
  latencies.map((latencyMs) =>
    createSimulator({ tenant, latencyMs: Number(latencyMs), logTokenExchanges: false }),
  ),
)
process.send?.({
  startMs,
  endMs,
  urls: simulators.map(({ url }) => url),
  credentials: simulators[0]?.credentials,
})
