import type { Logger } from 'pino'
import type { Prompt } from './prompt.js'

/** The process that a command runs in. */
export interface CommandContext {
  env: Record<string, string | undefined>
  /** The working directory. */
  cwd: string
  /** The command that starts this program again, such as `npx last-logout`. */
  programName: string
  /** Writes to standard output. */
  print(text: string): void
  /** Writes to standard error. */
  printError(text: string): void
  /** Whether standard output or standard error was closed (EPIPE). */
  isOutputClosed(): boolean
  /** Reads standard input to its end, or until it exceeds `maxLength` characters. */
  readInput(maxLength: number): Promise<string>
  /** Asks for values on the terminal, or reads them from standard input line by line. */
  openPrompt(): Promise<Prompt>
  /** Whether standard output is a terminal. */
  isTerminal: boolean
  /** Aborted by SIGINT, SIGTERM or SIGHUP, and when the output is closed. */
  stop: AbortSignal
  /** Creates a logger. Commands whose result is printed on standard output log to standard error. */
  createLog(level: string, to: 'stdout' | 'stderr'): Promise<Logger>
}
