import { LastLogoutError } from '../errors.js'
import { type Instant, readDateTime } from '../rules/instant.js'

/**
 * Reads an instant from the command line: an RFC 3339 time with a zone from 2000 to 2199, or `now`.
 *
 * @returns `null` for `now`: the clock of the database decides.
 * @throws `USAGE` if the text is neither.
 */
export function readInstantArgument(text: string): Instant | null {
  const at = readDateTime(text)
  if (at !== null || text === 'now') return at
  throw new LastLogoutError(
    'USAGE',
    `The instant is invalid: use now, or a time with a zone from 2000 to 2199, such as ${new Date().toISOString()}.`,
  )
}
