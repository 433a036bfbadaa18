/**
 * Maximum length of a user or session id, in UTF-16 code units. A unit takes at most three bytes, so an id of this
 * length fits into an index row of PostgreSQL (2,704 bytes).
 */
export const MAX_ID_LENGTH = 800

/** Reads a user, session or log id. Returns `null` for a missing, blank, too long or unstorable value. */
export function readId(value: unknown): string | null {
  if (typeof value !== 'string' || value.length > MAX_ID_LENGTH) return null
  return isBlank(value) || !isStorable(value) ? null : value
}

/** Whether the text has only white space. Every check calls this function, and `trim` alone would take twice as long. */
function isBlank(text: string): boolean {
  const first = text.charCodeAt(0)
  const isPrintableAscii = first > 0x20 && first < 0x7f
  return !isPrintableAscii && text.trim() === ''
}

/** Whether PostgreSQL can store the text: it contains neither U+0000 nor a lone surrogate. */
function isStorable(text: string): boolean {
  return !text.includes('\0') && isWellFormed(text)
}

/** Whether the text contains no lone surrogate. The login Action also runs on Node 18, which has no such method. */
function isWellFormed(text: string): boolean {
  return text.isWellFormed?.() ?? !/\p{Surrogate}/u.test(text)
}
