import type { Instant } from '../rules/instant.js'

/** An instant as the commands print it: RFC 3339 with milliseconds, UTC. */
export function toDateTime(at: Instant): string
export function toDateTime(at: Instant | null): string | null
export function toDateTime(at: Instant | null): string | null {
  return at === null ? null : new Date(at).toISOString()
}
