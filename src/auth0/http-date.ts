import type { Instant } from '../rules/instant.js'

/** Reads a header that holds a date (RFC 9110 §5.6.7). Returns `null` if the header is missing or holds no date. */
export function readHttpDate(headers: Headers, name: string): Instant | null {
  const at = Date.parse(headers.get(name) ?? '')
  return Number.isNaN(at) ? null : at
}
