import { type Logger, pino } from 'pino'
import { type LoggedError, toLoggedError } from './errors.js'
import { nameProgram } from './program-name.js'

/** The stream that log lines are written to. */
export interface LogDestination extends NodeJS.WritableStream {
  isTTY?: boolean
}

/** Headers with keys and tokens. No line contains the headers of a request: this is a second line of defence. */
const redact = ['authorization', 'cookie', 'x-last-logout-key'].flatMap((name) => [
  `headers["${name}"]`,
  `req.headers["${name}"]`,
])

/**
 * Creates the logger. It writes JSON lines, or human-readable lines if the destination is a terminal.
 *
 * @param programName Replaces `last-logout` in the commands that error messages and the field `advice` contain.
 *   Default: `last-logout`.
 */
export async function createLog(
  level: string,
  destination: LogDestination,
  programName = 'last-logout',
): Promise<Logger> {
  const serializers = {
    err: (error: unknown) => nameInError(toLoggedError(error), programName),
    advice: (advice: string) => nameProgram(advice, programName),
  }
  const options = { level, serializers, redact }
  if (!destination.isTTY) return pino(options, destination)
  const { default: pretty } = await import('pino-pretty')
  return pino(options, pretty({ destination, ignore: 'pid,hostname', sync: true }))
}

function nameInError(error: LoggedError, programName: string): LoggedError {
  const { message, cause } = error
  return {
    ...error,
    message: nameProgram(message, programName),
    ...(cause !== undefined && { cause: nameInError(cause, programName) }),
  }
}
