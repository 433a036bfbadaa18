import type { Command } from 'commander'
import { ACTION_NAME } from '../rules/action-settings.js'
import type { CommandContext } from './context.js'
import type { InitFlags } from './init.js'
import type { UninstallFlags } from './uninstall.js'

const INIT_FOOTER = `
Asks on the terminal. Otherwise reads from standard input, a line each: domain, client id, client secret.
Creates nothing in the tenant. An existing .env is used, and not changed.
Exit codes: 0 a logout was followed to a refused token, 1 a step failed, 2 invalid input.`

const UNINSTALL_FOOTER = `
Other Actions, their bindings and their order stay. Running it again is safe.
Exit codes: 0 done, or nothing to remove; 1 failure; 2 invalid configuration or usage.`

/** Adds the commands that set up and remove last-logout. */
export function addSetupCommands(program: Command, context: CommandContext): void {
  program
    .command('init')
    .description('sets up last-logout step by step: writes .env, checks it, follows one logout')
    .option('--wait <duration>', 'how long to wait for a logout, such as 30s or 10m', '10m')
    .addHelpText('after', INIT_FOOTER)
    .action(async (flags: InitFlags) => (await import('./init.js')).runInit(context, flags))
  program
    .command('uninstall')
    .description('prints what to undo; with --yes, removes the login Action from the tenant')
    .option('--yes', 'remove the login Action and its binding')
    .option('--name <name>', 'the name of the login Action', ACTION_NAME)
    .addHelpText('after', UNINSTALL_FOOTER)
    .action(async (flags: UninstallFlags) => {
      const { runUninstall } = await import('./uninstall.js')
      await runUninstall(context, flags)
    })
}
