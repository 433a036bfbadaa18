import { Command } from 'commander'
import type { CommandContext } from './context.js'
import type { Part } from './serve.js'

const FOOTER = `
Configuration comes from the environment, and from a file .env in the current directory: see README.md.
Exit codes: 0 done, 1 failed, 2 wrong configuration or usage.`

/** The command line. Each command is loaded when it runs: help and usage errors come at once. */
export function createProgram(context: CommandContext): Command {
  const serve = async (parts: Part[]) => (await import('./serve.js')).serve(context, parts)

  const program = new Command('last-logout')
    .description('Makes Auth0 access tokens die at logout.')
    .addHelpText('after', FOOTER)
    .showHelpAfterError('(see last-logout --help)')

  program
    .command('demo')
    .description('everything against a simulated tenant; needs no configuration')
    .option('--enterprise', 'the tenant gives the login Action what only Enterprise plans have')
    .action(async (options: { enterprise?: true }) => {
      const { demo } = await import('./demo.js')
      await demo(context, options)
    })
  program
    .command('start')
    .description('worker and API in one process')
    .action(() => serve(['api', 'worker']))
  program
    .command('worker')
    .description('polls the tenant log and moves last logouts forward')
    .action(() => serve(['worker']))
  program
    .command('api')
    .description('serves the read API')
    .action(() => serve(['api']))
  program
    .command('sync')
    .description('reads the tenant log to its end, once; for cron')
    .action(async () => (await import('./sync.js')).sync(context))
  program
    .command('status')
    .description('checkpoint, freshness, last poll and counts')
    .option('--json', 'as JSON')
    .action(async (options: { json?: true }) => {
      const { status } = await import('./status.js')
      await status(context, options)
    })
  program
    .command('migrate')
    .description('creates or updates the tables in DATABASE_URL')
    .action(async () => (await import('./migrate.js')).migrate(context))
  return program
}
