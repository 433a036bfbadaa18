import { generateHistory } from '../src/simulator/history.js'
import { createSimulator } from '../src/simulator/server.js'
import { createTenant } from '../src/simulator/tenant.js'

/**
 * Simulates a tenant in its own process, with one URL for each latency. Sends the URLs to the parent process. Runs
 * until the parent process ends it. The arguments are the number of entries and the latencies in milliseconds.
 */
const [entries = '0', ...latencies] = process.argv.slice(2)
const endMs = Date.now()
const startMs = endMs - 3_000_000
const tenant = createTenant({ domain: 'bench.example' })
tenant.writeStored(
  generateHistory({
    entries: Number(entries),
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
