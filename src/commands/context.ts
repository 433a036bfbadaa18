import type { Logger } from 'pino'

/** The process that a command runs in. */
export interface CommandContext {
  env: Record<string, string | undefined>
  /** The words that start this program again, such as `npx last-logout`. */
  programName: string
  /** Writes to standard output. */
  print(text: string): void
  /** Writes to standard error. */
  printError(text: string): void
  /** Whether standard output or standard error was closed (EPIPE). */
  isOutputClosed(): boolean
  /** Reads standard input to its end, or until it exceeds `maxLength` characters. */
  readInput(maxLength: number): Promise<string>
  /** Whether standard output is a terminal. */
  isTerminal: boolean
  /** Aborted by SIGINT, SIGTERM or SIGHUP, and when the output is closed. */
  stop: AbortSignal
  /** Creates a logger. Commands whose result is printed on standard output log to standard error. */
  createLog(level: string, to: 'stdout' | 'stderr'): Promise<Logger>
}
