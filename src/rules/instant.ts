/** A point in time: milliseconds since the Unix epoch, a whole number. */
export type Instant = number

/** An hour, in milliseconds. */
export const HOUR_MS = 3_600_000

/** A day, in milliseconds. */
export const DAY_MS = 24 * HOUR_MS

/** The range of plausible instants. Every instant from Auth0 is in this range, and PostgreSQL can store all of them. */
const MIN_INSTANT = Date.UTC(2000, 0, 1)
const MAX_INSTANT = Date.UTC(2200, 0, 1)

/** RFC 3339 with a time zone. `Date.parse` alone accepts other formats. */
const RFC3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/

/** The format that this service and `Date.prototype.toJSON` use. */
const CANONICAL =
  /^\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{3}Z$/

/** Seconds since the epoch as text. Milliseconds have more digits. */
const TEN_DIGITS = /^\d{10}(\.\d+)?$/

/** The character code of the digit 0. */
const ZERO = 48

/** Returns the later of two instants. `null` counts as the earliest. Stored instants must never move back. */
export function later(a: Instant | null, b: Instant | null): Instant | null {
  if (a === null) return b
  if (b === null) return a
  return a > b ? a : b
}

/** Returns the instant if it is plausible, otherwise `null`. */
export function plausibleInstant(at: number): Instant | null {
  return at >= MIN_INSTANT && at < MAX_INSTANT ? at : null
}

/**
 * Reads an RFC 3339 date-time from 2000 to 2199. Returns `null` for any other value, also for a day that its month does
 * not have. Drops digits below a millisecond.
 */
export function readDateTime(value: unknown): Instant | null {
  if (typeof value !== 'string' || !hasDayOfMonth(value)) return null
  if (CANONICAL.test(value)) return plausibleInstant(readCanonical(value))
  return RFC3339.test(value) ? plausibleInstant(Date.parse(value)) : null
}

/** Whether the month of a date-time has its day. `Date.parse` of V8 reads February 30 as March 2. */
function hasDayOfMonth(text: string): boolean {
  const day = text.slice(8, 10)
  if (day < '29') return true
  const lastDay = new Date(Date.UTC(Number(text.slice(0, 4)), Number(text.slice(5, 7)), 0))
  return Number(day) <= lastDay.getUTCDate()
}

/** Reads the canonical form. A client loads millions of instants, and `Date.parse` takes more than twice as long. */
function readCanonical(text: string): Instant {
  const read = (i: number) => 10 * text.charCodeAt(i) + text.charCodeAt(i + 1) - 11 * ZERO
  const day = Date.UTC(100 * read(0) + read(2), read(5) - 1, read(8))
  const seconds = (60 * read(11) + read(14)) * 60 + read(17)
  return day + 1000 * seconds + 10 * read(20) + text.charCodeAt(22) - ZERO
}

/**
 * Reads a NumericDate (RFC 7519 §2: seconds since the epoch, with an optional fraction). Returns `null` for any other
 * value. Some gateways send claims as strings, so a string of ten digits with an optional fraction is accepted, too.
 */
export function readNumericDate(value: unknown): Instant | null {
  const seconds = typeof value === 'string' && TEN_DIGITS.test(value) ? Number(value) : value
  if (typeof seconds !== 'number') return null
  // The product can be slightly below the intended millisecond, for example with 1795428000.123.
  return plausibleInstant(Math.floor(seconds * 1000 + 0.001))
}

/** Formats an instant as RFC 3339, in UTC, with milliseconds. */
export function toDateTime(at: Instant): string
export function toDateTime(at: Instant | null): string | null
export function toDateTime(at: Instant | null): string | null {
  return at === null ? null : new Date(at).toISOString()
}
