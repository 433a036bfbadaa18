import {
  type ActionStatus,
  deployLoginAction,
  readActionStatus,
} from '../auth0/actions/login-action.js'
import type { Step } from '../auth0/actions/plan.js'
import { createManagementApi } from '../auth0/management-api.js'
import { loadConfig } from '../config/config.js'
import { LastLogoutError } from '../errors.js'
import { type DeployFlags, readSecrets } from './action-options.js'
import type { CommandContext } from './context.js'
import { rethrow } from './rethrow.js'

/** `action deploy`: brings the tenant's Action to what it shall be, and says what that took. */
export async function deployAction(context: CommandContext, flags: DeployFlags): Promise<void> {
  const { auth0, http } = loadConfig(context.env, ['auth0'])
  const secrets = readSecrets(flags, http.apiKeys)
  const { name, dryRun = false } = flags
  const options = {
    api: createManagementApi(auth0),
    name,
    secrets,
    dryRun,
    onStep: (step: Step) => context.print(`${dryRun ? 'would ' : ''}${describe(step, name)}\n`),
  }
  const steps = await deployLoginAction(options, context.stop).catch(rethrow)
  context.print(`${conclude(steps, flags)}\n`)
}

/** `action status`: what the tenant has of it. Throws unless it is deployed, bound and of this version. */
export async function showAction(context: CommandContext, { name }: { name: string }) {
  const { auth0 } = loadConfig(context.env, ['auth0'])
  const options = { api: createManagementApi(auth0), name }
  const status = await readActionStatus(options, context.stop).catch(rethrow)
  const rows = [['tenant', auth0.domain], ['Action', name], ...toRows(status)]
  context.print(rows.map(([title = '', value]) => `${title.padEnd(10)} ${value}\n`).join(''))
  if (status.current && status.deployed && status.position !== null) return
  throw new LastLogoutError(
    'ACTION_NOT_DEPLOYED',
    'the login Action of this version does not run: `last-logout action deploy` sees to it',
  )
}

function describe(step: Step, name: string): string {
  switch (step.kind) {
    case 'create':
      return `create the Action ${name}, with the secrets ${list(step.secretNames)}`
    case 'update': {
      const removed = step.removedSecrets.length > 0
      const rest = removed ? `; not ours, and removed: ${list(step.removedSecrets)}` : ''
      return `update the Action ${name}: ${step.changes.join(', ')}${rest}`
    }
    case 'deploy':
      return 'deploy it, as soon as Auth0 has built it'
    case 'bind':
      return step.others === 0
        ? 'bind it to post-login'
        : `bind it to post-login, after the ${step.others} bound there`
    default:
      return step satisfies never
  }
}

function conclude(steps: Step[], { name, dryRun }: DeployFlags): string {
  if (steps.length === 0) return `nothing to change: ${name} is deployed and bound`
  return dryRun ? 'nothing was changed' : `done: ${name} is deployed and bound`
}

function toRows({ exists, current, deployed, position, bindings, secretNames }: ActionStatus) {
  if (!exists) return [['exists', 'no']]
  return [
    ['code', current ? 'of this version' : 'of another version, or changed'],
    ['deployed', deployed ? 'yes' : 'no, or not its newest state'],
    ['bound', position === null ? 'no' : `yes, as number ${position} of ${bindings}`],
    ['secrets', list(secretNames)],
  ]
}

function list(names: string[]): string {
  return [...names].sort().join(', ') || 'none'
}
