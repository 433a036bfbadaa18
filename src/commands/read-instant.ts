import { LastLogoutError } from '../errors.js'
import { type Instant, readDateTime } from '../rules/instant.js'

/** Reads an instant as operators write it: RFC 3339, or `now`. Throws `USAGE`. */
export function readInstant(text: string, now: Instant): Instant {
  const at = text === 'now' ? now : readDateTime(text)
  if (at !== null) return at
  throw new LastLogoutError(
    'USAGE',
    `an instant must be now, or a time with its zone such as ${new Date(now).toISOString()}`,
  )
}
