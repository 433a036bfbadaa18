import { type Logger, pino } from 'pino'
import { type LoggedError, toLoggedError } from './errors.js'
import { nameProgram } from './program-name.js'

/** The stream that log lines are written to. */
export interface LogDestination extends NodeJS.WritableStream {
  isTTY?: boolean
}

/**
 * Paths of the headers that contain keys or tokens. Requests are logged without headers, so this list is an additional
 * protection.
 */
const redact = ['authorization', 'cookie', 'x-last-logout-key'].flatMap((name) => [
  `headers["${name}"]`,
  `req.headers["${name}"]`,
])

/**
 * Creates the logger. It writes JSON lines, or readable text if the destination is a terminal.
 *
 * @param programName Replaces `last-logout` in commands in error messages and in the field `advice`. Default:
 *   `last-logout`.
 */
export async function createLog(
  level: string,
  destination: LogDestination,
  programName = 'last-logout',
): Promise<Logger> {
  const serializers = {
    err: (error: unknown) => nameProgramInError(toLoggedError(error), programName),
    advice: (advice: string) => nameProgram(advice, programName),
  }
  const options = { level, serializers, redact }
  if (!destination.isTTY) return pino(options, destination)
  const { default: pretty } = await import('pino-pretty')
  return pino(options, pretty({ destination, ignore: 'pid,hostname', sync: true }))
}

function nameProgramInError(error: LoggedError, programName: string): LoggedError {
  const { message, cause } = error
  return {
    ...error,
    message: nameProgram(message, programName),
    ...(cause !== undefined && { cause: nameProgramInError(cause, programName) }),
  }
}
