import { CommanderError } from 'commander'
import { type ErrorCode, hasCode, LastLogoutError } from '../errors.js'
import { nameProgram } from '../program-name.js'
import type { CommandContext } from './context.js'
import { createProgram } from './program.js'

const EXIT_FAILURE = 1
const EXIT_USAGE = 2

/** Errors that exit with {@link EXIT_USAGE}. */
const USAGE_CODES: ErrorCode[] = ['CONFIGURATION', 'USAGE', 'OTHER_TENANT']

/** Runs the command that the arguments name. Prints the message of an error, and returns the exit code. */
export async function runCommandLine(args: string[], context: CommandContext): Promise<number> {
  try {
    const program = await createProgram(context)
    await program.parseAsync(args, { from: 'user' })
    return 0
  } catch (error) {
    return report(error, context)
  }
}

function report(error: unknown, context: CommandContext): number {
  const printLine = (message: string) => context.printError(`last-logout: ${message}\n`)
  const isOutputClosed = context.isOutputClosed()
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_USAGE
  if (context.stop.aborted && hasCode(error, 'ABORTED')) {
    if (isOutputClosed) return EXIT_FAILURE
    printLine('Stopped by a signal. Everything stored so far is kept.')
    return 0
  }
  if (!(isOutputClosed && hasCode(error, 'UNFINISHED'))) printLine(toMessage(error, context))
  return USAGE_CODES.some((code) => hasCode(error, code)) ? EXIT_USAGE : EXIT_FAILURE
}

/** Returns the message of an error of this program, or the stack of any other error, which is a bug. */
function toMessage(error: unknown, { programName }: CommandContext): string {
  if (error instanceof LastLogoutError) return nameProgram(error.message, programName)
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
