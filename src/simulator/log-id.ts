/** What precedes the time in nearly every real log id; `800` exists too. */
export const USUAL_PREFIX = '900'

const LOG_ID = /^\d{56}$/

/** The time of a log id as Auth0 writes it: `yyyyMMddHHmmss` and six digits of microseconds. */
function stamp(ms: number): string {
  const wholeMs = Math.floor(ms)
  const micros = Math.floor((ms - wholeMs) * 1000)
  const digits = new Date(wholeMs).toISOString().replace(/\D/g, '')
  return digits + String(micros).padStart(3, '0')
}

/** The id of an entry stored at this time; the same time is told apart by `sequence`. */
export function buildLogId(prefix: string, storedAtMs: number, sequence: number): string {
  return `${prefix}${stamp(storedAtMs)}00000000000000122337203${String(sequence).padStart(10, '0')}`
}

/** The start of every log id stored at this time or later: not a whole id, but it sorts as one. */
export function logIdPosition(prefix: string, storedAtMs: number): string {
  return prefix + stamp(storedAtMs)
}

/** Whether this is a whole log id with the given prefix: 56 digits in every real sample. */
export function isLogId(value: unknown, prefix: string): value is string {
  return typeof value === 'string' && LOG_ID.test(value) && value.startsWith(prefix)
}
