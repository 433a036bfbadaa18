import { DOMAIN_RULE, isDomain } from './domain.js'
import { environmentOf } from './environment.js'
import { generateHistory } from './history.js'
import { createSimulator } from './server.js'
import { createTenant } from './tenant.js'
import { createTraffic } from './traffic.js'

const HOUR_MS = 3_600_000

/** The options of the command line, before parsing. */
export interface SimulatorFlags {
  port?: string | undefined
  domain?: string | undefined
  users?: string | undefined
  interval?: string | undefined
  history?: string | undefined
  scope?: string[] | undefined
}

/** The output of `--help`. */
export const HELP = `Usage: last-logout-simulator [options]

Simulates an Auth0 tenant on the loopback interface: its token endpoint, its log and its Actions.
It prints the environment variables with which last-logout reads the log.

  --port <number>      port to listen on (default 4010; 0: any free port)
  --domain <domain>    domain of the tenant (default acme.eu.auth0.com)
  --users <number>     users who log in and out (default 20)
  --interval <ms>      time between two events, in milliseconds (default 1000; 0: no events)
  --history <number>   entries of the hour before the start (default 2000)
  --scope <scope>      scope of the application; repeat it for several (default read:logs, read:logs_users)
  -h, --help           print this help

To write a logout:
  curl -d '{"type":"slo","user_id":"auth0|1"}' -H 'content-type: application/json' http://127.0.0.1:4010/simulator/entries
`

/** The error of an invalid option. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** A running simulator. `description` is printed after the start. */
export interface SimulatorRun {
  description: string
  close(): Promise<void>
}

/**
 * Starts a tenant with a history and with users who log in and out.
 *
 * @throws `UsageError` if an option is invalid.
 */
export async function startSimulator(flags: SimulatorFlags): Promise<SimulatorRun> {
  const { domain = 'acme.eu.auth0.com', scope } = flags
  if (!isDomain(domain)) throw new UsageError(`--domain is '${domain}': ${DOMAIN_RULE}`)
  const port = readNumber(flags, 'port', 4010, 65_535)
  const users = readNumber(flags, 'users', 20, 100_000)
  const intervalMs = readNumber(flags, 'interval', 1_000, HOUR_MS)
  const entries = readNumber(flags, 'history', 2_000, 1_000_000)
  const tenant = createTenant({ domain })
  const endMs = Date.now()
  tenant.writeStored(generateHistory({ entries, users, domain, startMs: endMs - HOUR_MS, endMs }))
  const options = { tenant, port, control: true, ...(scope && { scopes: scope }) }
  const simulator = await createSimulator(options).catch((error) => {
    if (error.code !== 'EADDRINUSE') throw error
    throw new UsageError(`port ${port} is in use: set another one, or --port 0 for any free port`)
  })
  const traffic = createTraffic(tenant, { users })
  if (intervalMs > 0) traffic.start(intervalMs)
  const variables = Object.entries(environmentOf(simulator)).map(
    ([name, value]) => `${name}=${value}\n`,
  )
  return {
    description: `# A simulated tenant is running. Press Ctrl-C to stop it.\n${variables.join('')}`,
    async close() {
      traffic.close()
      await simulator.close()
    },
  }
}

function readNumber(
  flags: SimulatorFlags,
  name: 'port' | 'users' | 'interval' | 'history',
  fallback: number,
  max: number,
): number {
  const text = flags[name] ?? `${fallback}`
  const value = Number(text)
  const min = name === 'users' ? 1 : 0
  if (/^\d+$/.test(text) && value >= min && value <= max) return value
  throw new UsageError(`--${name} is '${text}': set a whole number from ${min} to ${max}`)
}
