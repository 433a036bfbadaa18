import type { Command } from 'commander'
import { ACTION_NAME } from '../rules/action-settings.js'
import type { DeployFlags } from './action-options.js'
import type { CommandContext } from './context.js'

/** Adds the commands of the login Action. */
export function addActionCommands(action: Command, context: CommandContext): void {
  const load = () => import('./action.js')
  const name: [string, string, string] = ['--name <name>', 'the name of the Action', ACTION_NAME]

  action.description('prints or deploys the login Action, or shows its status')
  action
    .command('print')
    .description('prints the source, for other deployment tools; needs no configuration')
    .action(async () => (await import('./print-action.js')).runActionPrint(context))
  action
    .command('deploy')
    .description(
      'creates or updates the Action in the tenant, deploys it and binds it after all others',
    )
    .requiredOption('--url <url>', 'URL of the API of last-logout, reachable from Auth0')
    .option('--mode <mode>', 'enforce (default), or observe: only log what would be denied')
    .option(
      '--on-error <what>',
      'allow (default) or deny refresh token exchanges while last-logout is unavailable',
    )
    .option('--timeout-ms <ms>', 'timeout of the request to last-logout (default 1000)')
    .option('--namespace <url>', 'namespace of the claims (default https://last-logout/)')
    .option('--policy <policy>', 'service (default: the POLICY of the service), session or user')
    .option(...name)
    .option('--dry-run', 'print the changes without making them')
    .action(async (flags: DeployFlags) => (await load()).runActionDeploy(context, flags))
  action
    .command('status')
    .description(
      'exits with 0 when the Action is deployed, bound and of this version, and has its secrets',
    )
    .option(...name)
    .action(async (flags: { name: string }) => (await load()).runActionStatus(context, flags))
}
