import type { Logger } from 'pino'

/** What a command knows of the process it runs in. */
export interface CommandContext {
  env: Record<string, string | undefined>
  /** Writes to standard output. */
  print(text: string): void
  /** Writes to standard error. */
  printError(text: string): void
  /** Whether whoever reads either of them has gone. */
  isReaderGone(): boolean
  /** Reads standard input to its end, or until it is longer than `maxLength` characters. */
  readInput(maxLength: number): Promise<string>
  /** Whether standard output is a terminal. */
  isTerminal: boolean
  /** Aborted by SIGINT or SIGTERM. */
  stop: AbortSignal
  /** A log on standard output, or on standard error where that carries a result. */
  createLog(level: string, to: 'stdout' | 'stderr'): Promise<Logger>
}
