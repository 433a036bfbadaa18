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

/** The initial time of the tenant's clock. */
export const NOON = Date.parse('2026-03-01T12:00:00.000Z')

/** A simulated tenant of Auth0 with its HTTP server, the simulator, and functions that send requests to the server. */
export interface StartedSimulator {
  tenant: Tenant
  simulator: Simulator
  /** The tenant's clock. It moves only when a test sets it. */
  clock: { ms: number }
  fetch(path: string, init?: RequestInit): Promise<Response>
  /** Sends `GET /api/v2/logs` with a valid token. */
  logs(query?: string): Promise<Response>
  /** Sends `GET /api/v2/logs` with a valid token. Returns the log ids of the response. */
  ids(query?: string): Promise<string[]>
  /** Requests a token. `body` replaces fields of a valid request. */
  token(body?: Record<string, unknown>): Promise<Response>
  /** Sends a request to an endpoint of `/api/v2` with a valid token. */
  call(
    method: string,
    path: string,
    body?: object,
    headers?: Record<string, string>,
  ): Promise<ApiResponse>
}

/** A complete response of the API. */
interface ApiResponse {
  status: number
  // biome-ignore lint/suspicious/noExplicitAny: any response of the API
  body: any
}

/**
 * Starts a simulator that is closed after the test. Its clock stays at noon. In the default options, entries are stored
 * without delay, and issued tokens add no entries to the log.
 */
export async function start(
  options: Partial<SimulatorOptions & SimulatedTenantOptions> = {},
): Promise<StartedSimulator> {
  const clock = { ms: NOON }
  const tenant = createTenant({ domain: DOMAIN, now: () => clock.ms, lagMs: () => 0, ...options })
  const simulator = await createSimulator({ tenant, logTokenExchanges: false, ...options })
  onTestFinished(() => simulator.close())

  const send: StartedSimulator['fetch'] = (path, init) => fetch(simulator.url + path, init)

  const token: StartedSimulator['token'] = (body = {}) =>
    send('/oauth/token', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ ...grant(simulator), ...body }),
    })

  const tokenResponse = (await (await token()).json()) as { access_token: string }
  const authorization = `Bearer ${tokenResponse.access_token}`
  // The tests count only their own requests.
  simulator.requests.clear()

  const logs: StartedSimulator['logs'] = (query = '') =>
    send(`/api/v2/logs${query}`, { headers: { authorization } })

  const ids: StartedSimulator['ids'] = async (query) => {
    const entries = (await (await logs(query)).json()) as { log_id: string }[]
    return entries.map((entry) => entry.log_id)
  }

  const call: StartedSimulator['call'] = async (method, path, body, headers) => {
    const response = await send(`/api/v2/${path}`, {
      method,
      headers: {
        authorization,
        ...(body && { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body && { body: JSON.stringify(body) }),
    })
    const text = await response.text()
    return { status: response.status, body: text === '' ? undefined : JSON.parse(text) }
  }

  return { tenant, simulator, clock, fetch: send, logs, ids, token, call }
}

/** Returns the body of a request for a token with the client credentials grant. */
export function grant({ credentials, tenant }: Simulator): Record<string, string> {
  return {
    grant_type: 'client_credentials',
    client_id: credentials.clientId,
    client_secret: credentials.clientSecret,
    audience: `https://${tenant.domain}/api/v2/`,
  }
}

/** Writes logouts, one per second. The last logout is at noon. Returns the log ids, the oldest first. */
export function writeLogouts(tenant: Tenant, count: number): string[] {
  return Array.from(
    { length: count },
    (_, i) => tenant.write({ type: 'slo' }, { dateMs: NOON - (count - 1 - i) * 1000 }).logId,
  )
}
