import { type Logger, pino } from 'pino'
import { toLoggedError } from './errors.js'

/** The stream that log lines are written to. */
export interface LogDestination extends NodeJS.WritableStream {
  isTTY?: boolean
}

/** Creates the logger. It writes JSON lines, or human-readable lines if the destination is a terminal. */
export async function createLog(level: string, destination: LogDestination): Promise<Logger> {
  const options = { level, serializers: { err: toLoggedError } }
  if (!destination.isTTY) return pino(options, destination)
  const { default: pretty } = await import('pino-pretty')
  return pino(options, pretty({ destination, ignore: 'pid,hostname', sync: true }))
}
