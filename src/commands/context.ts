import type { Logger } from 'pino'
import type { Prompt } from './prompt.js'

/** The environment of a command: variables, arguments, streams and signals of the process. */
export interface CommandContext {
  env: Record<string, string | undefined>
  /** The working directory. */
  cwd: string
  /** The command with which the user started this program, such as `npx last-logout`. */
  programName: string
  /** Writes to standard output. */
  print(text: string): void
  /** Writes to standard error. */
  printError(text: string): void
  /** Whether standard output or standard error was closed (EPIPE). */
  isOutputClosed(): boolean
  /** Reads standard input to its end. Stops early after more than `maxLength` characters. */
  readInput(maxLength: number): Promise<string>
  /** Opens a prompt on the terminal. Without a terminal, the prompt reads lines of standard input. */
  openPrompt(): Promise<Prompt>
  /** Whether standard output is a terminal. */
  isTerminal: boolean
  /** Aborts at SIGINT, SIGTERM or SIGHUP, and when the output is closed. */
  stop: AbortSignal
  /** Creates a logger. A command that prints its result to standard output must log to standard error. */
  createLog(level: string, to: 'stdout' | 'stderr'): Promise<Logger>
}
