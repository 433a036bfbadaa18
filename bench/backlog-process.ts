import { createSimulator } from '../src/simulator/server.js'
import { createBacklogTenant } from './backlog-tenant.js'

/**
 * Simulates a tenant with a backlog in its own process. Sends its URL to the parent process, and runs until it is killed.
 * The arguments are the domain, the number of entries, and the storage times of the first and the last entry.
 */
const [domain = '', ...numbers] = process.argv.slice(2)
const [entries = 0, startMs = 0, endMs = 0] = numbers.map(Number)
const tenant = createBacklogTenant(domain, { entries, startMs, endMs })
const { url, credentials } = await createSimulator({ tenant, logTokenExchanges: false })
process.send?.({ url, credentials })
