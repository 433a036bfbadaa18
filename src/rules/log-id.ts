import { type Instant, plausibleInstant } from './instant.js'

/** The length of a log id. All ids that were recorded from Auth0 have this length. */
const LOG_ID_LENGTH = 56

/** The prefix of almost all log ids. One tenant is known to have the prefix `800`. */
export const DEFAULT_PREFIX = '900'

const LAYOUT = /^\d{3}(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d{3})\d*$/

/**
 * Reads from a log id when Auth0 stored the entry. After a prefix of three digits, an id contains this time in UTC, as
 * `yyyyMMddHHmmssSSS`. Auth0 does not document this layout. Returns `null` for `null`, and for an id of another layout.
 */
export function storageTimeOf(logId: string | null): Instant | null {
  const [, year, month, day, hour, minute, second, millisecond] = LAYOUT.exec(logId ?? '') ?? []
  if (year === undefined) return null
  const iso = `${year}-${month}-${day}T${hour}:${minute}:${second}.${millisecond}Z`
  const at = Date.parse(iso)
  // `Date.parse` rejects a 13th month, but reads 30 February as a day of March.
  return new Date(at || 0).toISOString() === iso ? plausibleInstant(at) : null
}

/**
 * Creates a log id that sorts before the ids of all entries that Auth0 stored at `at` or later. No entry has this id, but
 * Auth0 accepts it as a position in the log.
 */
export function syntheticLogId(at: Instant, prefix: string = DEFAULT_PREFIX): string {
  const digits = new Date(at).toISOString().replace(/\D/g, '')
  return (prefix + digits).padEnd(LOG_ID_LENGTH, '0')
}

/** Whether {@link syntheticLogId} created this id. */
export function isSynthetic(logId: string): boolean {
  const at = storageTimeOf(logId)
  return at !== null && logId === syntheticLogId(at, prefixOf(logId))
}

/** Returns the part of a log id before its time. */
export function prefixOf(logId: string): string {
  return logId.slice(0, DEFAULT_PREFIX.length)
}
