import { CommanderError } from 'commander'
import { type ErrorCode, hasCode, LastLogoutError } from '../errors.js'
import type { CommandContext } from './context.js'
import { createProgram } from './program.js'

const FAILED = 1
const WRONG_CONFIGURATION = 2

const USAGE: ErrorCode[] = ['CONFIGURATION', 'USAGE', 'OTHER_TENANT']

/** How a command has ended. */
export interface Ending {
  exitCode: number
  /** True: an answer that was given up may still keep the process. */
  isUnfinished: boolean
}

/** Runs the command that the arguments name; an error becomes a message and an exit code. */
export async function runCommandLine(args: string[], context: CommandContext): Promise<Ending> {
  try {
    const program = await createProgram(context)
    await program.parseAsync(args, { from: 'user' })
    return { exitCode: 0, isUnfinished: false }
  } catch (error) {
    return { exitCode: report(error, context), isUnfinished: hasCode(error, 'UNFINISHED') }
  }
}

function report(error: unknown, context: CommandContext): number {
  const say = (message: string) => context.printError(`last-logout: ${message}\n`)
  const isReaderGone = context.isReaderGone()
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : WRONG_CONFIGURATION
  if (context.stop.aborted && hasCode(error, 'ABORTED')) {
    if (!isReaderGone) say('stopped before the end; what was stored stays stored')
    return 0
  }
  if (!(isReaderGone && hasCode(error, 'UNFINISHED'))) say(toMessage(error))
  return USAGE.some((code) => hasCode(error, code)) ? WRONG_CONFIGURATION : FAILED
}

/** What the reader can act on; a stack only where the fault is in this program. */
function toMessage(error: unknown): string {
  if (error instanceof LastLogoutError) return error.message
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
