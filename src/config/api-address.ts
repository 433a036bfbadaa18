import { isIPv6 } from 'node:net'
import { LastLogoutError } from '../errors.js'

/** Default of `HOST`. */
export const DEFAULT_HOST = '127.0.0.1'

/** Default of `PORT`. */
export const DEFAULT_PORT = 8080

/** Addresses that stand for all addresses of a machine, and the address at which the machine reaches itself. */
const LOOPBACK: Record<string, string> = { '0.0.0.0': '127.0.0.1', '::': '::1' }

/**
 * Returns the URL at which this machine reaches its API. It reads only `HOST` and `PORT`, and loads no schema: health
 * checks run every few seconds.
 *
 * @throws `CONFIGURATION` if there is no such URL.
 */
export function readApiUrl(env: Record<string, string | undefined>): string {
  const host = env.HOST || DEFAULT_HOST
  const port = env.PORT || `${DEFAULT_PORT}`
  const address = LOOPBACK[host] ?? host
  const url = `http://${isIPv6(address) ? `[${address}]` : address}:${port}`
  if (/^[1-9]\d*$/.test(port) && URL.canParse(url)) return url
  throw new LastLogoutError(
    'CONFIGURATION',
    'HOST or PORT does not name the address of an API: set HOST to that of the API, such as 127.0.0.1, and PORT to a number from 1 to 65535',
  )
}
