/** The prefix of almost all real log ids. One tenant is known to have the prefix `800`. */
export const DEFAULT_ID_PREFIX = '900'

const LOG_ID = /^\d{56}$/

/** Formats a time as in Auth0's log ids: `yyyyMMddHHmmss`, then six digits for the microseconds. */
function timestamp(ms: number): string {
  const wholeMs = Math.floor(ms)
  const micros = Math.floor((ms - wholeMs) * 1000)
  const digits = new Date(wholeMs).toISOString().replace(/\D/g, '')
  return digits + String(micros).padStart(3, '0')
}

/** Builds the id of an entry that is stored at this time. `sequence` distinguishes entries with the same time. */
export function buildLogId(prefix: string, storedAtMs: number, sequence: number): string {
  return `${prefix}${timestamp(storedAtMs)}00000000000000122337203${String(sequence).padStart(10, '0')}`
}

/**
 * Returns the lower bound of all log ids with this storage time or a later storage time. The bound is only the
 * beginning of a log id, which is sufficient for comparisons.
 */
export function logIdPosition(prefix: string, storedAtMs: number): string {
  return prefix + timestamp(storedAtMs)
}

/** Whether the value is a complete log id with this prefix. All known log ids have 56 digits. */
export function isLogId(value: unknown, prefix: string): value is string {
  return typeof value === 'string' && LOG_ID.test(value) && value.startsWith(prefix)
}
