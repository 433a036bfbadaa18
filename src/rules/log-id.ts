import { type Instant, plausibleInstant } from './instant.js'

/** The length of all log ids that were observed. Auth0 does not document the layout of log ids. */
const LOG_ID_LENGTH = 56

/** The prefix of almost all log ids. One known tenant has the prefix `800`. */
export const DEFAULT_PREFIX = '900'

const LAYOUT = /^\d{3}(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d{3})\d*$/

/**
 * Returns the storage time of a log entry: when Auth0 stored the entry. A log id contains this time after a prefix of
 * three digits, as `yyyyMMddHHmmssSSS` in UTC. Returns `null` for an id of another layout, and for `null`.
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
 * Creates a log id that sorts before the ids of all entries that Auth0 stored at `at` or later. No entry has this id,
 * but Auth0 accepts it as a position in the log.
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
