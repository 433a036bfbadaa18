import { LastLogoutError } from '../errors.js'
import { type Instant, readDateTime } from '../rules/instant.js'

/** Reads an instant as operators write it: RFC 3339, or `now`, which is `null`. Throws `USAGE`. */
export function readInstant(text: string): Instant | null {
  const at = readDateTime(text)
  if (at !== null || text === 'now') return at
  throw new LastLogoutError(
    'USAGE',
    `an instant must be now, or a time with its zone such as ${new Date().toISOString()}`,
  )
}
