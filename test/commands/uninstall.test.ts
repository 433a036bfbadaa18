import { beforeEach, describe, expect, test } from 'vitest'
import type { Simulator } from '../../src/simulator/server.js'
import {
  ACTION_SCOPES,
  addAction,
  bindOtherActions,
  listWriteRequests,
  openActionTenant,
  readBindings,
} from '../_support/actions.js'
import { finishCommandLine } from '../_support/command-line.js'
import { tenantEnv } from '../_support/tenant.js'

/** The API key of the login Action. */
const KEY = 'the-key-of-the-action-0123456789-0123'

let simulator: Simulator
let env: Record<string, string>
beforeEach(() => openTenantWithScopes([...ACTION_SCOPES, 'delete:actions']))

/** Opens a tenant whose application has these scopes. Sets `simulator` and `env`. */
async function openTenantWithScopes(scopes: string[]) {
  const tenant = await openActionTenant({ scopes })
  simulator = tenant.simulator
  env = { ...tenantEnv(simulator), API_KEYS: `action:${KEY}:read` }
}

/** Deploys the login Action, and binds it between the Actions `other 0` and `later`. Removes the recorded requests. */
async function deployBetweenOthers() {
  bindOtherActions(simulator, 1)
  const url = 'https://last-logout.example'
  expect((await finishCommandLine(['action', 'deploy', '--url', url], env)).code).toBe(0)
  const boundIds = readBindings(simulator).map(({ action }) => action.id)
  bindActions([...boundIds, addAction(simulator, 'later')])
  simulator.requests.clear()
}

/** Replaces the bindings: the list of Actions that run after a login. */
function bindActions(ids: string[]): void {
  const bindings = ids.map((id) => ({ ref: { type: 'action_id', value: id } }))
  simulator.bindings.replace({ bindings })
}

const boundNames = () => readBindings(simulator).map(({ action }) => action.name)
const allNames = () => simulator.actions.list().map(({ name }) => name)

describe('uninstall', () => {
  test('uninstall without --yes prints the steps of a removal, and changes nothing', async () => {
    await deployBetweenOthers()
    const { code, stdout, stderr } = await finishCommandLine(['uninstall'], env)
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    // The output is a numbered list of steps, each with a title.
    for (const title of ['APIs', 'service', 'database', 'grants', 'secrets']) {
      expect(stdout).toMatch(new RegExp(`^ +\\d\\. ${title} `, 'm'))
    }
    expect(stdout).toContain(
      'would unbind the Action last-logout from post-login; the 2 other Actions stay, in their order\n' +
        'would delete the Action last-logout\ndry run: nothing was changed',
    )
    expect(listWriteRequests(simulator)).toEqual([])
    expect(boundNames()).toEqual(['other 0', 'last-logout', 'later'])
    expect(stdout).not.toContain(env.AUTH0_CLIENT_SECRET)
    expect(stdout).not.toContain(KEY)
  })

  test('uninstall --yes removes the login Action, keeps the other Actions in their order, and can be repeated', async () => {
    await deployBetweenOthers()
    const first = await finishCommandLine(['uninstall', '--yes'], env)
    expect(first).toMatchObject({ code: 0, stderr: '' })
    expect(first.stdout).toContain('done: the Action last-logout is removed\n')
    expect(boundNames()).toEqual(['other 0', 'later'])
    expect(readBindings(simulator)[0]?.display_name).toBe('Other 0')
    expect(allNames()).toEqual(['other 0', 'later'])
    simulator.requests.clear()
    const second = await finishCommandLine(['uninstall', '--yes'], env)
    expect(second.code).toBe(0)
    expect(second.stdout).toContain('no changes: the tenant has no Action last-logout\n')
    expect(listWriteRequests(simulator)).toEqual([])
  })

  test.each([
    [['uninstall'], 'would delete the Action last-logout'],
    [['uninstall', '--yes'], 'done: the Action last-logout is removed'],
  ])('%j names a login Action that was deployed under another name', async (args, conclusion) => {
    await deployBetweenOthers()
    const url = 'https://last-logout.example'
    await finishCommandLine(['action', 'deploy', '--url', url, '--name', 'old name'], env)
    const { code, stdout } = await finishCommandLine(args, env)
    expect(code).toBe(0)
    expect(stdout).toContain(conclusion)
    expect(stdout).toContain(
      'the tenant also has the login Action under the name "old name", which this command leaves: to remove it, run this command again with --yes --name "old name"\n',
    )
    expect(boundNames()).toContain('old name')
    await finishCommandLine(['uninstall', '--yes', '--name', 'old name'], env)
    expect(boundNames()).not.toContain('old name')
    expect((await finishCommandLine(['uninstall', '--yes'], env)).stdout).not.toContain('also has')
  })

  test('uninstall completes a removal that was interrupted after the Action was unbound', async () => {
    await deployBetweenOthers()
    const others = readBindings(simulator).filter(({ action }) => action.name !== 'last-logout')
    bindActions(others.map(({ action }) => action.id))
    const { stdout } = await finishCommandLine(['uninstall', '--yes'], env)
    expect(stdout).not.toContain('unbind the')
    expect(allNames()).toEqual(['other 0', 'later'])
  })

  test('uninstall refuses to remove another Action with the name of the login Action, and names the option for another name', async () => {
    addAction(simulator, 'last-logout')
    const { code, stderr } = await finishCommandLine(['uninstall', '--yes'], env)
    expect(code).toBe(1)
    expect(stderr).toContain('is not the login Action of last-logout')
    expect(simulator.actions.list()).toHaveLength(1)
    const [, option = ''] = /with (--\w+)/.exec(stderr) ?? []
    expect(option).toBe('--name')
    const { stdout } = await finishCommandLine(['uninstall', option, 'other'], env)
    expect(stdout).toContain('no changes: the tenant has no Action other\n')
  })

  test('uninstall names a missing scope, and still prints the steps of a removal', async () => {
    await openTenantWithScopes([])
    const refused = await finishCommandLine(['uninstall', '--yes'], env)
    expect(refused.code).toBe(1)
    expect(refused.stderr).toContain('read:actions')
    expect(refused.stdout).toContain('To remove last-logout from')
  })

  test('uninstall without --yes succeeds although a scope is missing, and says that the Action was not looked up', async () => {
    await openTenantWithScopes([])
    const { code, stdout, stderr } = await finishCommandLine(['uninstall'], env)
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toMatch(
      /the Action last-logout was not looked up: .*read:actions.*APIs\). If you never .* skip step 2\.\n$/s,
    )
  })
})
