import { createLogSource, type LogSourceOptions } from '../../src/auth0/log-source.js'
import { createManagementApi } from '../../src/auth0/management-api.js'
import { RETRY_LIMITS, type RetryLimits } from '../../src/auth0/retry.js'
import type { LogSource } from '../../src/ports.js'
import {
  createSimulator,
  type Simulator,
  type SimulatorOptions,
} from '../../src/simulator/server.js'
import {
  createTenant,
  type SimulatedTenantOptions,
  type Tenant,
} from '../../src/simulator/tenant.js'

/** The default domain of a simulated tenant. */
export const DOMAIN = 'tenant.example'

/** The default limits of retries, but between two attempts pass only 1 to 4 ms. */
export const QUICK_RETRIES: RetryLimits = { ...RETRY_LIMITS, backoff: { firstMs: 1, maxMs: 4 } }

/** A simulated tenant, an HTTP server for it, and a log source that reads the log of the tenant. */
export interface TestTenant {
  tenant: Tenant
  simulator: Simulator
  source: LogSource
  close(): Promise<void>
}

/** Opens a simulated tenant. By default, log entries are readable at once. In Auth0, this takes some seconds. */
export async function openTenant(
  tenantOptions: Partial<SimulatedTenantOptions> = {},
  simulatorOptions: Partial<SimulatorOptions> = {},
): Promise<TestTenant> {
  const tenant = createTenant({ domain: DOMAIN, lagMs: () => 0, ...tenantOptions })
  const simulator = await createSimulator({ tenant, logTokenExchanges: false, ...simulatorOptions })
  return { tenant, simulator, source: openSource(simulator), close: simulator.close }
}

/** Creates a log source with its own management token. It retries failed requests with {@link QUICK_RETRIES}. */
export function openSource(
  { url, credentials }: Simulator,
  overrides: Partial<
    { clientSecret: string; baseUrl: string } & Pick<LogSourceOptions, 'rateShare' | 'observe'>
  > = {},
): LogSource {
  const { rateShare = 1, observe, ...connection } = overrides
  const api = createManagementApi({ domain: DOMAIN, baseUrl: url, ...credentials, ...connection })
  const retryLimits = QUICK_RETRIES
  return createLogSource({ api, rateShare, retryLimits, ...(observe && { observe }) })
}

export { environmentOf as tenantEnv } from '../../src/simulator/environment.js'
