/** A point in time: milliseconds since the Unix epoch, a whole number. */
export type Instant = number

/** What counts as a plausible instant: PostgreSQL can hold it and Auth0 can have meant it. */
const EARLIEST = Date.UTC(2000, 0, 1)
const LATEST = Date.UTC(2200, 0, 1)

/** RFC 3339, with a zone: `Date.parse` alone also takes prose. */
const RFC3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/

/** Seconds since the epoch as text: neither milliseconds, nor a sign, an exponent or a blank. */
const TEN_DIGITS = /^\d{10}(\.\d+)?$/

/** The later of two instants; `null` is earlier than any. The whole of "only forward". */
export function later(a: Instant | null, b: Instant | null): Instant | null {
  if (a === null) return b
  if (b === null) return a
  return a > b ? a : b
}

/** Keeps an instant only if it is plausible. */
export function plausibleInstant(at: number): Instant | null {
  return at >= EARLIEST && at < LATEST ? at : null
}

/** Reads an RFC 3339 date-time; `null` for anything else. Fractions below a millisecond are cut off. */
export function readDateTime(value: unknown): Instant | null {
  if (typeof value !== 'string' || !RFC3339.test(value)) return null
  return plausibleInstant(Date.parse(value))
}

/**
 * Reads a NumericDate (RFC 7519 §2: seconds since the epoch, fractions allowed); `null` for anything
 * else. A value known only to the second is that second's beginning. Gateways deliver claims as
 * strings: one of ten digits, with an optional fraction, is read too.
 */
export function readNumericDate(value: unknown): Instant | null {
  const seconds = typeof value === 'string' && TEN_DIGITS.test(value) ? Number(value) : value
  if (typeof seconds !== 'number') return null
  // Binary fractions: 1795428000.123 * 1000 may come out just below the millisecond that was meant.
  return plausibleInstant(Math.floor(seconds * 1000 + 0.001))
}

/** An instant as it is written everywhere: RFC 3339 with milliseconds, UTC. */
export function toDateTime(at: Instant): string
export function toDateTime(at: Instant | null): string | null
export function toDateTime(at: Instant | null): string | null {
  return at === null ? null : new Date(at).toISOString()
}
