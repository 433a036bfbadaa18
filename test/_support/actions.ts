import { onTestFinished } from 'vitest'
import { createManagementApi, type ManagementApi } from '../../src/auth0/management-api.js'
import type { Simulator, SimulatorOptions } from '../../src/simulator/server.js'
import { DOMAIN, openTenant } from './tenant.js'

export const ACTION_SCOPES = ['read:actions', 'create:actions', 'update:actions']

/** A binding as the Management API returns it. */
interface ServedBinding {
  id: string
  display_name: string
  action: { id: string; name: string }
}

/** Opens a simulated tenant until the end of the test, and a Management API client with the scopes of Actions. */
export async function openActionTenant(
  options: Partial<SimulatorOptions> = {},
): Promise<{ simulator: Simulator; api: ManagementApi }> {
  const { simulator, close } = await openTenant({}, { scopes: ACTION_SCOPES, ...options })
  onTestFinished(close)
  const { url, credentials } = simulator
  return { simulator, api: createManagementApi({ domain: DOMAIN, baseUrl: url, ...credentials }) }
}

/** Creates and deploys an Action other than the login Action. Returns the id of the Action. */
export function addAction({ actions }: Simulator, name: string, overrides: object = {}): string {
  const supported_triggers = [{ id: 'post-login', version: 'v3' }]
  actions.create({ name, supported_triggers, code: '// another Action', ...overrides })
  const id = actions.list().at(-1)?.id ?? ''
  actions.deploy(id)
  return id
}

/** Creates, deploys and binds `count` Actions other than the login Action. */
export function bindOthers(simulator: Simulator, count: number): void {
  const bindings = Array.from({ length: count }, (_, n) => ({
    ref: { type: 'action_id', value: addAction(simulator, `other ${n}`) },
    display_name: `Other ${n}`,
  }))
  simulator.bindings.replace({ bindings })
}

/** Returns the bindings as the Management API does. */
export function readBindings({ bindings }: Simulator): ServedBinding[] {
  return bindings.list() as ServedBinding[]
}

/** Lists the method and the path of each request that writes, with `:id` in place of ids. */
export function readWriteRequests({ requests }: Simulator): string[] {
  return requests
    .all()
    .filter(({ method, url }) => method !== 'GET' && url !== '/oauth/token')
    .map(({ method, url }) => `${method} ${url.replace(/[0-9a-f-]{36}/, ':id')}`)
}
