import {
  listOtherLoginActions,
  type RemovalStep,
  removeLoginAction,
} from '../auth0/actions/remove-action.js'
import { createManagementApi } from '../auth0/management-api.js'
import { type Config, loadConfig } from '../config/config.js'
import { hasCode } from '../errors.js'
import type { CommandContext } from './context.js'
import { escapeControls } from './escape-controls.js'
import { rethrowAbortAsUnfinished } from './rethrow-abort-as-unfinished.js'

/** The options of `uninstall`. */
export interface UninstallFlags {
  /** The name of the login Action. */
  name: string
  yes?: true
}

/** Runs `uninstall`: prints the steps of a removal. With `--yes`, removes the login Action from the tenant. */
export async function runUninstall(context: CommandContext, flags: UninstallFlags): Promise<void> {
  const config = loadConfig(context.env, ['auth0'])
  const { name, yes = false } = flags
  context.print(describeManualSteps(config))
  try {
    const login = { api: createManagementApi(config.auth0), name }
    const steps = await removeLoginAction(
      {
        ...login,
        dryRun: !yes,
        onStep: (step) => context.print(`${yes ? '' : 'would '}${describe(step, name)}\n`),
      },
      context.stop,
    )
    context.print(`${conclude(steps, name, yes)}\n`)
    const others = await listOtherLoginActions(login, context.stop)
    for (const other of others.map(escapeControls)) {
      context.print(
        `the tenant also has the login Action under the name "${other}", which this command leaves: to remove it, run this command again with --yes --name "${other}"\n`,
      )
    }
  } catch (error) {
    // An application that never deployed the Action does not need these scopes.
    if (yes || !hasCode(error, 'AUTH0_SCOPE')) return rethrowAbortAsUnfinished(error)
    context.print(
      `the Action ${name} was not looked up: ${error.message} If you never deployed it, skip step 2.\n`,
    )
  }
}

function describe(step: RemovalStep, name: string): string {
  if (step.kind === 'delete') return `delete the Action ${name}`
  const kept = step.others === 0 ? '' : `; the ${step.others} other Actions stay, in their order`
  return `unbind the Action ${name} from post-login${kept}`
}

function conclude(steps: RemovalStep[], name: string, yes: boolean): string {
  if (steps.length === 0) return `no changes: the tenant has no Action ${name}`
  if (yes) return `done: the Action ${name} is removed`
  return 'dry run: nothing was changed; to remove the Action, run this command again with --yes, and with the scopes read:actions, update:actions and delete:actions'
}

/** Describes the steps that a person must do, in a safe order: no API may depend on a stopped service. */
function describeManualSteps({ auth0, database }: Config): string {
  const { dataDir, url } = database
  const data =
    dataDir !== undefined
      ? `delete the directory ${dataDir}, which holds the database`
      : url !== undefined
        ? 'drop the database or the schema that DATABASE_URL names, but neither if other applications or tenants use it: the section Uninstall of\n                docs/operations.md lists the tables; without REDIS_URL, also the schema bullmq there; with REDIS_URL, the keys in Redis\n                that begin with {last-logout: and this domain'
        : 'drop the database that the service used'
  return `To remove last-logout from ${auth0.domain}, in this order:

  1. APIs       remove last-logout-client from each API and web app, the check from each gateway, and /logout from each app that
                logs out through it; deploy them
  2. Action     this command removes it with --yes: see below
  3. service    stop every worker, API and cron job, and delete their units
  4. database   ${data}
  5. grants     Dashboard > Applications > the machine-to-machine application: delete it, or revoke its scopes under APIs
  6. log stream Dashboard > Monitoring > Streams: delete the stream to last-logout, if there is one
  7. secrets    delete .env, and the API keys that callers have
  8. package    npm uninstall --global last-logout, if it was installed so

`
}
