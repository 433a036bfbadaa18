import type { Instant } from '../rules/instant.js'

/** Reads a date from a header (RFC 9110 §5.6.7). Returns `null` if the header is missing or contains no date. */
export function readHttpDate(headers: Headers, name: string): Instant | null {
  const at = Date.parse(headers.get(name) ?? '')
  return Number.isNaN(at) ? null : at
}
