import { type Instant, plausibleInstant } from './instant.js'

/** Length of every log id seen in recorded traffic. */
const LENGTH = 56

/** The prefix of almost every log id; a tenant with `800` has been seen. */
export const DEFAULT_PREFIX = '900'

const LAYOUT = /^\d{3}(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d{3})\d*$/

/**
 * When Auth0 stored the entry, read from its log id: three digits, then UTC as `yyyyMMddHHmmssSSS`.
 * Auth0 does not document the layout; for an id that does not follow it, and for none, it is `null`.
 */
export function storageTimeOf(logId: string | null): Instant | null {
  const [, year, month, day, hour, minute, second, millisecond] = LAYOUT.exec(logId ?? '') ?? []
  if (year === undefined) return null
  const iso = `${year}-${month}-${day}T${hour}:${minute}:${second}.${millisecond}Z`
  const at = Date.parse(iso)
  // Date.parse refuses a 13th month but lets 30 February become 1 March.
  return new Date(at || 0).toISOString() === iso ? plausibleInstant(at) : null
}

/**
 * The log id that stands before every entry stored at or after `at`. Auth0 takes it as a position
 * though no entry bears it.
 */
export function syntheticLogId(at: Instant, prefix: string = DEFAULT_PREFIX): string {
  const digits = new Date(at).toISOString().replace(/\D/g, '')
  return (prefix + digits).padEnd(LENGTH, '0')
}

/** Whether no entry bears the id: it is a position that {@link syntheticLogId} made. */
export function isSynthetic(logId: string): boolean {
  const at = storageTimeOf(logId)
  return at !== null && logId === syntheticLogId(at, prefixOf(logId))
}

/** The part of a log id that stands before its time. */
export function prefixOf(logId: string): string {
  return logId.slice(0, DEFAULT_PREFIX.length)
}
