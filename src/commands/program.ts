import { Command } from 'commander'
import { ACTION_NAME } from '../rules/action-settings.js'
import { readVersion } from '../version.js'
import type { DeployFlags } from './action-options.js'
import type { CommandContext } from './context.js'
import type { DoctorFlags } from './doctor.js'
import type { ExplainOptions } from './explain.js'
import type { LogoutOptions } from './logout.js'
import type { Part } from './serve.js'

const FOOTER = `
Configuration comes from the environment, and from a file .env in the current directory: see README.md.
Exit codes: 0 done, 1 failed, 2 wrong configuration or usage.`

const DOCTOR_FOOTER = `
Asks Auth0 some eight times: for a token, which it notes in the log, for the log and for the Action.
With DATA_DIR, a database that is there and stopped is started for the moment.
Exit codes: 0 no check failed, though there may be warnings; 1 one failed; 2 wrong configuration.`

/** The command line. Each command is loaded when it runs: help and usage errors come at once. */
export async function createProgram(context: CommandContext): Promise<Command> {
  const serve = async (parts: Part[]) => (await import('./serve.js')).serve(context, parts)

  const program = new Command('last-logout')
    // Before the commands are made: they take it over.
    .exitOverride()
    .configureOutput({
      writeOut: context.print,
      writeErr: context.printError,
      outputError: (text, write) => write(withoutTokens(text)),
    })
    .description('Makes Auth0 access tokens die at logout.')
    .version(await readVersion())
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
  addActionCommands(program.command('action'), context)
  addOperatorCommands(program, context)
  program
    .command('migrate')
    .description('creates or updates the tables in DATABASE_URL')
    .action(async () => (await import('./migrate.js')).migrate(context))
  return program
}

/** Where a subcommand was forgotten, the error quotes what may be a token. */
function withoutTokens(text: string): string {
  return text.replace(/[^\s']{41,}/g, (word) => `${word.slice(0, 8)}…`)
}

function addOperatorCommands(program: Command, context: CommandContext): void {
  program
    .command('doctor')
    .description('looks whether all that is needed is as it should be; changes nothing')
    .option('--probe', 'also asks Auth0 what it does not document: six requests more')
    .option('--action <name>', 'the name of the login Action', ACTION_NAME)
    .option('--json', 'as JSON')
    .addHelpText('after', DOCTOR_FOOTER)
    .action(async (flags: DoctorFlags) => {
      const { doctor } = await import('./doctor.js')
      await doctor(context, flags)
    })
  program
    .command('explain')
    .description('why a token is revoked, or is not; verifies no signature, prints no token')
    .argument('<token>', 'a JWT, or - to read it from standard input, where no history keeps it')
    .option(
      '--namespace <url>',
      'of the claims that the login Action adds (default https://last-logout/)',
    )
    .option('--json', 'as JSON')
    .action(async (token: string, options: ExplainOptions) => {
      const { explain } = await import('./explain.js')
      await explain(context, token, options)
    })
  program
    .command('logout')
    .description("ends a user's tokens, not the user's Auth0 sessions")
    .argument('<user_id>', "as in the sub claim, quoted for the shell, such as 'auth0|123'")
    .option('--session <id>', 'only the tokens of this session')
    .option('--at <instant>', 'RFC 3339 (default now): tokens whose login is later stay valid')
    .action(async (userId: string, options: LogoutOptions) => {
      const { logout } = await import('./logout.js')
      await logout(context, userId, options)
    })
  program
    .command('floor')
    .description("the instant before which all users' tokens are revoked")
    .command('raise')
    .description("ends all users' tokens whose login is not after it, not their Auth0 sessions")
    .argument('<instant>', 'RFC 3339, or now; it cannot be lowered again')
    .action(async (instant: string) => (await import('./floor.js')).raiseFloor(context, instant))
}

function addActionCommands(action: Command, context: CommandContext): void {
  const load = () => import('./action.js')
  const name: [string, string, string] = ['--name <name>', 'the name of the Action', ACTION_NAME]

  action.description('the login Action: prints it, deploys it, looks how it is deployed')
  action
    .command('print')
    .description('the file, for other tools; needs no configuration')
    .action(async () => (await import('./print-action.js')).printAction(context))
  action
    .command('deploy')
    .description('creates or updates it in the tenant, deploys it and binds it after all others')
    .requiredOption('--url <url>', 'where Auth0 reaches the API of last-logout')
    .option('--mode <mode>', 'enforce (default), or observe: refuses nothing, says what it would')
    .option('--on-error <what>', 'allow (default) or deny, where last-logout does not answer')
    .option('--timeout-ms <ms>', 'how long it waits for last-logout (default 1000)')
    .option('--namespace <url>', 'of the claims (default https://last-logout/)')
    .option('--policy <policy>', 'service (default), session or user: by whose policy it judges')
    .option(...name)
    .option('--dry-run', 'changes nothing, says what would be')
    .action(async (flags: DeployFlags) => (await load()).deployAction(context, flags))
  action
    .command('status')
    .description('exit 0 when it is deployed, bound and of this version')
    .option(...name)
    .action(async (flags: { name: string }) => (await load()).showAction(context, flags))
}
