/** The digits before the time in nearly every real log id; `800` exists, too. */
export const DEFAULT_ID_PREFIX = '900'

const LOG_ID = /^\d{56}$/

/** The time in a log id of Auth0: `yyyyMMddHHmmss` and six digits of microseconds. */
function timestamp(ms: number): string {
  const wholeMs = Math.floor(ms)
  const micros = Math.floor((ms - wholeMs) * 1000)
  const digits = new Date(wholeMs).toISOString().replace(/\D/g, '')
  return digits + String(micros).padStart(3, '0')
}

/** The id of an entry that is stored at this time. `sequence` distinguishes entries of the same time. */
export function buildLogId(prefix: string, storedAtMs: number, sequence: number): string {
  return `${prefix}${timestamp(storedAtMs)}00000000000000122337203${String(sequence).padStart(10, '0')}`
}

/** The lower bound of the log ids from this time on: not a complete id, but it sorts like one. */
export function logIdPosition(prefix: string, storedAtMs: number): string {
  return prefix + timestamp(storedAtMs)
}

/** Whether this is a complete log id with the given prefix: 56 digits, as in every real sample. */
export function isLogId(value: unknown, prefix: string): value is string {
  return typeof value === 'string' && LOG_ID.test(value) && value.startsWith(prefix)
}
