import { isIPv6 } from 'node:net'
import { LastLogoutError } from '../errors.js'

/** Default of `HOST`. */
export const DEFAULT_HOST = '127.0.0.1'

/** Default of `PORT`. */
export const DEFAULT_PORT = 8080

/** Maximum of a TCP port. */
export const MAX_PORT = 65_535

/** The loopback address for each address that means *all addresses of this machine*. */
const LOOPBACK: Record<string, string> = { '0.0.0.0': '127.0.0.1', '::': '::1' }

/**
 * Returns the URL of the API for requests from the same machine. Reads only `HOST` and `PORT` and loads no schema,
 * because health checks run every few seconds.
 *
 * @throws `CONFIGURATION` if there is no such URL.
 */
export function readApiUrl(env: Record<string, string | undefined>): string {
  const host = env.HOST || DEFAULT_HOST
  const port = readNumber(env.PORT || `${DEFAULT_PORT}`)
  const address = LOOPBACK[host] ?? host
  const url = `http://${isIPv6(address) ? `[${address}]` : address}:${port}`
  const isPort = Number.isInteger(port) && port >= 1 && port <= MAX_PORT
  if (isPort && URL.canParse(url)) return url
  throw new LastLogoutError(
    'CONFIGURATION',
    'HOST or PORT does not name the address of an API: set HOST to that of the API, such as 127.0.0.1, and PORT to a number from 1 to 65535',
  )
}

/**
 * Reads a number of a variable: digits, with an optional fraction. Returns `NaN` for any other text. It is in this module,
 * because health checks do not load the schemas of the other variables.
 */
export function readNumber(text: string): number {
  return /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN
}
