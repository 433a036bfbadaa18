import { type Logger, pino } from 'pino'
import { toLoggedError } from './errors.js'

/** Where log lines go. */
export interface LogStream extends NodeJS.WritableStream {
  isTTY?: boolean
}

/** Makes the log: JSON lines, or lines to read where the stream is a terminal. */
export async function createLog(level: string, stream: LogStream): Promise<Logger> {
  const options = { level, serializers: { err: toLoggedError } }
  if (!stream.isTTY) return pino(options, stream)
  const { default: pretty } = await import('pino-pretty')
  return pino(options, pretty({ destination: stream, ignore: 'pid,hostname', sync: true }))
}
