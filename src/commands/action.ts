import {
  type ActionStatus,
  deployLoginAction,
  readActionStatus,
} from '../auth0/actions/login-action.js'
import type { Step } from '../auth0/actions/plan.js'
import { createManagementApi } from '../auth0/management-api.js'
import { loadConfig } from '../config/config.js'
import { LastLogoutError } from '../errors.js'
import { REQUIRED_SECRETS } from '../rules/action-settings.js'
import { type DeployFlags, readSecrets } from './action-options.js'
import type { CommandContext } from './context.js'
import { rethrowAbortAsUnfinished } from './rethrow-abort-as-unfinished.js'

/** Runs `action deploy`: creates or updates the login Action in the tenant, and prints each step. */
export async function runActionDeploy(context: CommandContext, flags: DeployFlags): Promise<void> {
  const config = loadConfig(context.env, ['auth0'])
  const secrets = readSecrets(flags, config)
  const { name, dryRun = false } = flags
  const options = {
    api: createManagementApi(config.auth0),
    name,
    secrets,
    dryRun,
    onStep: (step: Step) => context.print(`${dryRun ? 'would ' : ''}${describe(step, name)}\n`),
  }
  const steps = await deployLoginAction(options, context.stop).catch(rethrowAbortAsUnfinished)
  context.print(`${conclude(steps, flags)}\n`)
}

/**
 * Runs `action status`: prints the state of the login Action in the tenant.
 *
 * @throws `ACTION_NOT_DEPLOYED` if the Action is not deployed, not bound, of another version, or lacks a required secret.
 */
export async function runActionStatus(context: CommandContext, { name }: { name: string }) {
  const { auth0 } = loadConfig(context.env, ['auth0'])
  const options = { api: createManagementApi(auth0), name }
  const status = await readActionStatus(options, context.stop).catch(rethrowAbortAsUnfinished)
  const rows = [['tenant', auth0.domain], ['Action', name], ...toRows(status)]
  context.print(rows.map(([title = '', value]) => `${title.padEnd(10)} ${value}\n`).join(''))
  const missing = REQUIRED_SECRETS.filter((secret) => !status.secretNames.includes(secret))
  const isRunning = status.current && status.deployed && status.position !== null
  if (isRunning && missing.length === 0) return
  const why = isRunning
    ? `lacks the secret ${missing.join(' and ')}, so that it cannot find out who has logged out`
    : 'is not deployed, not bound or of another version'
  throw new LastLogoutError(
    'ACTION_NOT_DEPLOYED',
    `The Action ${name} ${why}: run \`last-logout action deploy --url <URL of the API>\`, with the same other options as before.`,
  )
}

function describe(step: Step, name: string): string {
  switch (step.kind) {
    case 'create':
      return `create the Action ${name}, with the secrets ${list(step.secretNames)}`
    case 'update': {
      const { changes, removedSecrets } = step
      const removal =
        removedSecrets.length > 0 ? `; remove the unknown secrets ${list(removedSecrets)}` : ''
      return `update the Action ${name}: ${changes.join(', ')}${removal}`
    }
    case 'deploy':
      return 'deploy the Action when Auth0 has built it'
    case 'bind':
      return step.others === 0
        ? 'bind the Action to post-login'
        : `bind the Action to post-login, after the ${step.others} Actions that are bound to it`
    default:
      return step satisfies never
  }
}

function conclude(steps: Step[], { name, dryRun }: DeployFlags): string {
  if (steps.length === 0) return `no changes: ${name} is deployed and bound`
  return dryRun ? 'dry run: nothing was changed' : `done: ${name} is deployed and bound`
}

function toRows({ exists, current, deployed, position, bindings, secretNames }: ActionStatus) {
  if (!exists) return [['exists', 'no']]
  return [
    ['code', current ? 'of this version' : 'of another version, or modified'],
    ['deployed', deployed ? 'yes' : 'no, or not the latest draft'],
    ['bound', position === null ? 'no' : `yes, at position ${position} of ${bindings}`],
    ['secrets', list(secretNames)],
  ]
}

function list(names: string[]): string {
  return [...names].sort().join(', ') || 'none'
}
