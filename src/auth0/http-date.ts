import type { Instant } from '../rules/instant.js'

/** Reads a header that holds a date (RFC 9110 §5.6.7); `null` where it is missing or holds none. */
export function readHttpDate(headers: Headers, name: string): Instant | null {
  const at = Date.parse(headers.get(name) ?? '')
  return Number.isNaN(at) ? null : at
}
