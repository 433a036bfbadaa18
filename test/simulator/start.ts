import { onTestFinished } from 'vitest'
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
import { DOMAIN } from '../_support/tenant.js'

export const NOON = Date.parse('2026-03-01T12:00:00.000Z')

export interface Started {
  tenant: Tenant
  simulator: Simulator
  /** The tenant's clock. It moves only when a test sets it. */
  clock: { ms: number }
  fetch(path: string, init?: RequestInit): Promise<Response>
  /** Sends `GET /api/v2/logs` with a valid token. */
  logs(query?: string): Promise<Response>
  /** Sends the same request. Returns the log ids of the response. */
  ids(query?: string): Promise<string[]>
  token(body?: Record<string, unknown>): Promise<Response>
  /** Sends a request to an endpoint of `/api/v2` with a valid token. */
  call(method: string, path: string, body?: object): Promise<ApiResponse>
}

/** A complete response of the API. */
interface ApiResponse {
  status: number
  // biome-ignore lint/suspicious/noExplicitAny: any response of the API
  body: any
}

/**
 * Starts a simulator. It is closed after the test. Its clock stands at noon. Entries are stored without delay, and token
 * exchanges write no entries.
 */
export async function start(
  options: Partial<SimulatorOptions & SimulatedTenantOptions> = {},
): Promise<Started> {
  const clock = { ms: NOON }
  const tenant = createTenant({ domain: DOMAIN, now: () => clock.ms, lagMs: () => 0, ...options })
  const simulator = await createSimulator({ tenant, logTokenExchanges: false, ...options })
  onTestFinished(() => simulator.close())

  const get: Started['fetch'] = (path, init) => fetch(simulator.url + path, init)

  const token: Started['token'] = (body = {}) =>
    get('/oauth/token', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ ...grant(simulator), ...body }),
    })

  const issued = (await (await token()).json()) as { access_token: string }
  simulator.requests.clear()

  const logs: Started['logs'] = (query = '') =>
    get(`/api/v2/logs${query}`, { headers: { authorization: `Bearer ${issued.access_token}` } })

  const ids: Started['ids'] = async (query) => {
    const entries = (await (await logs(query)).json()) as { log_id: string }[]
    return entries.map((entry) => entry.log_id)
  }

  const call: Started['call'] = async (method, path, body) => {
    const response = await get(`/api/v2/${path}`, {
      method,
      headers: {
        authorization: `Bearer ${issued.access_token}`,
        ...(body && { 'content-type': 'application/json' }),
      },
      ...(body && { body: JSON.stringify(body) }),
    })
    return { status: response.status, body: await response.json() }
  }

  return { tenant, simulator, clock, fetch: get, logs, ids, token, call }
}

/** The body of a client credentials grant. */
export function grant({ credentials, tenant }: Simulator): Record<string, string> {
  return {
    grant_type: 'client_credentials',
    client_id: credentials.clientId,
    client_secret: credentials.clientSecret,
    audience: `https://${tenant.domain}/api/v2/`,
  }
}

/** Writes logouts, one per second, the last one at noon. Returns their log ids, the oldest first. */
export function writeLogouts(tenant: Tenant, count: number): string[] {
  return Array.from(
    { length: count },
    (_, i) => tenant.write({ type: 'slo' }, { dateMs: NOON - (count - 1 - i) * 1000 }).logId,
  )
}
