import { onTestFinished } from 'vitest'
import { createManagementApi, type ManagementApi } from '../../src/auth0/management-api.js'
import type { Simulator, SimulatorOptions } from '../../src/simulator/server.js'
import { DOMAIN, openTenant } from './tenant.js'

/** The scopes of the Management API that `last-logout action` needs. */
export const ACTION_SCOPES = ['read:actions', 'create:actions', 'update:actions']

/** An entry in the list of Actions that a trigger runs, as the Management API returns it. */
interface ServedBinding {
  id: string
  display_name: string
  action: { id: string; name: string }
}

/** Opens a simulated tenant until the end of the test, and a Management API client with {@link ACTION_SCOPES}. */
export async function openActionTenant(
  options: Partial<SimulatorOptions> = {},
): Promise<{ simulator: Simulator; api: ManagementApi }> {
  const { simulator, close } = await openTenant({}, { scopes: ACTION_SCOPES, ...options })
  onTestFinished(close)
  const { url, credentials } = simulator
  return { simulator, api: createManagementApi({ domain: DOMAIN, baseUrl: url, ...credentials }) }
}

/** Creates and deploys an Action that is not the login Action. Returns the id of the Action. */
export function addAction({ actions }: Simulator, name: string, overrides: object = {}): string {
  const supported_triggers = [{ id: 'post-login', version: 'v3' }]
  actions.create({ name, supported_triggers, code: '// another Action', ...overrides })
  const id = actions.list().at(-1)?.id ?? ''
  actions.deploy(id)
  return id
}

/**
 * Creates and deploys `count` Actions that are not the login Action, and binds them to the post-login trigger.
 */
export function bindOtherActions(simulator: Simulator, count: number): void {
  const bindings = Array.from({ length: count }, (_, index) => ({
    ref: { type: 'action_id', value: addAction(simulator, `other ${index}`) },
    display_name: `Other ${index}`,
  }))
  simulator.bindings.replace({ bindings })
}

/** Returns the bindings of the post-login trigger, in the format of the Management API. */
export function readBindings({ bindings }: Simulator): ServedBinding[] {
  return bindings.list() as ServedBinding[]
}

/** Lists the method and the path of each write request. In the paths, `:id` replaces UUIDs. */
export function listWriteRequests({ requests }: Simulator): string[] {
  return requests
    .all()
    .filter(({ method, url }) => method !== 'GET' && url !== '/oauth/token')
    .map(({ method, url }) => `${method} ${url.replace(/[0-9a-f-]{36}/, ':id')}`)
}
