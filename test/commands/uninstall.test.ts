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

const KEY = 'the-key-of-the-action-0123456789-0123'

let simulator: Simulator
let env: Record<string, string>
beforeEach(() => replaceTenant([...ACTION_SCOPES, 'delete:actions']))

/** Replaces the tenant by a tenant whose application has these scopes. */
async function replaceTenant(scopes: string[]) {
  ;({ simulator } = await openActionTenant({ scopes }))
  env = { ...tenantEnv(simulator), API_KEYS: `action:${KEY}:read` }
}

/** Deploys the login Action, and binds it between two other Actions. */
async function deployBetweenOthers() {
  bindOtherActions(simulator, 1)
  const url = 'https://last-logout.example'
  expect((await finishCommandLine(['action', 'deploy', '--url', url], env)).code).toBe(0)
  const refs = [...readBindings(simulator).map(({ action }) => action.id)]
  refs.push(addAction(simulator, 'later'))
  const bindings = refs.map((value) => ({ ref: { type: 'action_id', value } }))
  simulator.bindings.replace({ bindings })
  simulator.requests.clear()
}

const boundNames = () => readBindings(simulator).map(({ action }) => action.name)

describe('uninstall', () => {
  test('uninstall without --yes prints what to undo, and sends no request that writes', async () => {
    await deployBetweenOthers()
    const { code, stdout, stderr } = await finishCommandLine(['uninstall'], env)
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    for (const word of ['APIs', 'service', 'database', 'grants', 'secrets']) {
      expect(stdout).toMatch(new RegExp(`^ +\\d\\. ${word} `, 'm'))
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

  test('uninstall --yes removes the Action, keeps the others in their order, and can be repeated', async () => {
    await deployBetweenOthers()
    const first = await finishCommandLine(['uninstall', '--yes'], env)
    expect(first).toMatchObject({ code: 0, stderr: '' })
    expect(first.stdout).toContain('done: the Action last-logout is removed\n')
    expect(boundNames()).toEqual(['other 0', 'later'])
    expect(readBindings(simulator)[0]?.display_name).toBe('Other 0')
    expect(simulator.actions.list().map(({ name }) => name)).toEqual(['other 0', 'later'])
    simulator.requests.clear()
    const second = await finishCommandLine(['uninstall', '--yes'], env)
    expect(second.code).toBe(0)
    expect(second.stdout).toContain('no changes: the tenant has no Action last-logout\n')
    expect(listWriteRequests(simulator)).toEqual([])
  })

  test('uninstall completes a removal that was interrupted after the Action was unbound', async () => {
    await deployBetweenOthers()
    simulator.bindings.replace({
      bindings: readBindings(simulator)
        .filter(({ action }) => action.name !== 'last-logout')
        .map(({ action }) => ({ ref: { type: 'action_id', value: action.id } })),
    })
    const { stdout } = await finishCommandLine(['uninstall', '--yes'], env)
    expect(stdout).not.toContain('unbind the')
    expect(simulator.actions.list().map(({ name }) => name)).toEqual(['other 0', 'later'])
  })

  test('uninstall refuses to remove an Action that has the name but is not the login Action, and names the option --name', async () => {
    addAction(simulator, 'last-logout')
    const { code, stderr } = await finishCommandLine(['uninstall', '--yes'], env)
    expect(code).toBe(1)
    expect(stderr).toContain('is not the login Action of last-logout')
    expect(simulator.actions.list()).toHaveLength(1)
    const [, option = ''] = /with (--\w+)/.exec(stderr) ?? []
    const { stdout } = await finishCommandLine(['uninstall', option, 'other'], env)
    expect(stdout).toContain('no changes: the tenant has no Action other\n')
  })

  test('uninstall names a missing scope, and still prints what to undo', async () => {
    await replaceTenant([])
    const refused = await finishCommandLine(['uninstall', '--yes'], env)
    expect(refused.code).toBe(1)
    expect(refused.stderr).toContain('read:actions')
    expect(refused.stdout).toContain('To remove last-logout from')
  })

  test('uninstall without --yes succeeds although a scope is missing, and says that the Action was not looked up', async () => {
    await replaceTenant([])
    const { code, stdout, stderr } = await finishCommandLine(['uninstall'], env)
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toMatch(
      /the Action last-logout was not looked up: .*read:actions.* skip step 2\n$/s,
    )
  })
})
