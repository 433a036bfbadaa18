import { Command } from 'commander'
import { loadEnvFile } from '../config/load-env-file.js'
import { findSimilar } from '../config/similar-names.js'
import { nameProgram } from '../program-name.js'
import { ACTION_NAME } from '../rules/action-settings.js'
import { readVersion } from '../version.js'
import { addActionCommands } from './action-commands.js'
import type { CommandContext } from './context.js'
import type { DoctorFlags } from './doctor.js'
import type { ExplainOptions } from './explain.js'
import type { HealthcheckOptions } from './healthcheck.js'
import type { LogoutOptions } from './logout.js'
import type { ServicePart } from './serve.js'
import { addSetupCommands } from './setup-commands.js'

const FOOTER = `
Configuration is read from the environment and from the file .env in the current directory. See docs/configuration.md.
Exit codes: 0 success, 1 failure, 2 invalid configuration or usage.`

const DOCTOR_FOOTER = `
Sends about eight requests to Auth0, which read log entries and the Action. The request for a token adds a log entry.
With DATA_DIR, an embedded database that is stopped is started for the duration of the checks.
Exit codes: 0 no check failed (warnings are possible), 1 a check failed, 2 invalid configuration.`

const FORGET_FOOTER = `
Answers a request for erasure. Delete the user in Auth0 first. The hashes are deleted when no token from before the last
logout can be valid. Running it again is safe. See docs/privacy.md.
Exit codes: 0 done, or nothing is stored; 1 failure; 2 invalid configuration or usage.`

/** Creates the command line. Loads the code of a command only when the command runs, so that help is fast. */
export async function createProgram(context: CommandContext): Promise<Command> {
  const serve = async (parts: ServicePart[]) =>
    (await import('./serve.js')).runServe(context, parts)

  const program = new Command(context.programName)
    // Commands inherit these settings, so the settings must come first.
    .exitOverride()
    .configureOutput({
      writeOut: context.print,
      writeErr: context.printError,
      outputError: (text, write) => write(redactTokens(text)),
    })
    .description('Revokes Auth0 access tokens at logout.')
    .version(await readVersion())
    .addHelpText('after', FOOTER)
    .showHelpAfterError(nameProgram('(see `last-logout --help`)', context.programName))
    .hook('preAction', () => loadEnvFile(context.env, context.cwd))

  program
    .command('demo')
    .description('runs everything with a simulated tenant; needs no configuration')
    .option('--enterprise', 'the login Action receives the fields of Enterprise plans')
    .action(async (options: { enterprise?: true }) => {
      const { runDemo } = await import('./demo.js')
      await runDemo(context, options)
    })
  addSetupCommands(program, context)
  program
    .command('start')
    .description('runs the worker and the API in one process')
    .action(() => serve(['api', 'worker']))
  program
    .command('worker')
    .description('polls the tenant log and stores logouts')
    .action(() => serve(['worker']))
  program
    .command('api')
    .description('serves the read API')
    .action(() => serve(['api']))
  program
    .command('sync')
    .description('reads the tenant log to its end once, for example from cron')
    .action(async () => (await import('./sync.js')).runSync(context))
  program
    .command('status')
    .description('prints checkpoint, freshness, last poll and counts')
    .option('--json', 'print JSON')
    .action(async (options: { json?: true }) => {
      const { runStatus } = await import('./status.js')
      await runStatus(context, options)
    })
  addActionCommands(program.command('action'), context)
  addOperatorCommands(program, context)
  addInstallationCommands(program, context)
  for (const command of [program, ...program.commands]) {
    if (command.commands.length > 0) suggestCommands(command)
  }
  return program
}

/**
 * Rejects an unknown command, and suggests commands with a similar name. Replaces the suggestions of commander, which
 * suggests `logout` for any word of the same length.
 */
function suggestCommands(parent: Command): void {
  parent.on('command:*', ([name = '']: string[]) => {
    const names = parent.commands.map((command) => command.name())
    const similar = findSimilar(name, names)
    const [onlyName] = names
    const suggestion =
      similar.length > 0
        ? `(Did you mean ${similar.join(' or ')}?)`
        : `(${names.length === 1 ? `The command is ${parent.name()} ${onlyName}` : `Commands: ${names.join(', ')}`})`
    parent.error(`error: unknown command '${name}'\n${suggestion}`)
  })
}

/** Shortens long words. A usage error can quote an argument that is a token. */
function redactTokens(text: string): string {
  return text.replace(/[^\s']{41,}/g, (word) => `${word.slice(0, 8)}…`)
}

/** Adds the commands that deployment scripts and containers run. */
function addInstallationCommands(program: Command, context: CommandContext): void {
  program
    .command('migrate')
    .description('creates or updates the tables of the database')
    .action(async () => (await import('./migrate.js')).runMigrate(context))
  program
    .command('healthcheck')
    .description('checks that the API at HOST and PORT responds, for probes of containers')
    .option('--ready', 'check that its database is available as well')
    .option('--fresh', 'check that its data is at most MAX_LAG old as well')
    .action(async (options: HealthcheckOptions) => {
      const { runHealthcheck } = await import('./healthcheck.js')
      await runHealthcheck(context, options)
    })
}

/** Adds the commands that operators run. */
function addOperatorCommands(program: Command, context: CommandContext): void {
  program
    .command('doctor')
    .description('checks configuration, credentials and connectivity; changes nothing')
    .option('--probe', 'also check undocumented behaviour of Auth0, with six more requests')
    .option('--action <name>', 'the name of the login Action', ACTION_NAME)
    .option('--json', 'print JSON')
    .addHelpText('after', DOCTOR_FOOTER)
    .action(async (flags: DoctorFlags) => {
      const { runDoctor } = await import('./doctor.js')
      await runDoctor(context, flags)
    })
  program
    .command('explain')
    .description('explains why a token is revoked or not; does not verify the signature')
    .argument(
      '<token>',
      'a JWT, or - to read it from standard input, which keeps it out of the shell history',
    )
    .option(
      '--namespace <url>',
      'namespace of the claims that the login Action adds (default https://last-logout/)',
    )
    .option('--json', 'print JSON')
    .action(async (token: string, options: ExplainOptions) => {
      const { runExplain } = await import('./explain.js')
      await runExplain(context, token, options)
    })
  program
    .command('logout')
    .description("revokes a user's tokens; does not end Auth0 sessions")
    .argument('<user_id>', "the sub claim of the tokens, quoted for the shell, such as 'auth0|123'")
    .option('--session <id>', 'revoke only the tokens of this session')
    .option(
      '--at <instant>',
      'RFC 3339 time or now (default): tokens with a later login stay valid',
    )
    .action(async (userId: string, options: LogoutOptions) => {
      const { runLogout } = await import('./logout.js')
      await runLogout(context, userId, options)
    })
  program
    .command('forget')
    .description("replaces a person's ids by keyed hashes; tokens stay revoked")
    .argument(
      '<user_id>',
      "the user's id, quoted for the shell, such as 'auth0|123', or - to read it from standard input",
    )
    .addHelpText('after', FORGET_FOOTER)
    .action(async (userId: string) => (await import('./forget.js')).runForget(context, userId))
  program
    .command('floor')
    .description('manages the floor: tokens of all users are revoked unless their login is later')
    .command('raise')
    .description('raises the floor to an instant; does not end Auth0 sessions')
    .argument('<instant>', 'RFC 3339 time, or now; the floor cannot be lowered again')
    .action(async (instant: string) => (await import('./floor.js')).runFloorRaise(context, instant))
}
