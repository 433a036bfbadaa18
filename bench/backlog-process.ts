import { createSimulator } from '../src/simulator/server.js'
import { createBacklogTenant } from './backlog-tenant.js'

/**
 * Simulates, in its own process, a tenant whose log has a backlog: many entries that no worker has read. Sends the URL
 * and the credentials of the tenant to the parent process, and runs until the parent process ends it. The arguments are
 * the domain, the number of entries, and the storage times of the first and the last entry, in milliseconds since the
 * epoch.
 */
const [domain = '', ...numberArgs] = process.argv.slice(2)
const [entryCount = 0, startMs = 0, endMs = 0] = numberArgs.map(Number)
const tenant = createBacklogTenant(domain, { entryCount, startMs, endMs })
const { url, credentials } = await createSimulator({ tenant, logTokenExchanges: false })
process.send?.({ url, credentials })
