/**
 * Maximum length of a user or session id, in UTF-16 code units. A unit takes at most three bytes, so an id of this
 * length fits into an index row of PostgreSQL (2,704 bytes). A longer id could make it impossible to store a page.
 */
export const MAX_ID_LENGTH = 800

/** Almost every id is printable ASCII without spaces. One test of the whole text is then sufficient. */
const PRINTABLE_ASCII = /^[!-~]+$/

/** Reads a user, session or log id. Returns `null` for a missing, blank, too long or unstorable value. */
export function readId(value: unknown): string | null {
  if (typeof value !== 'string' || value.length > MAX_ID_LENGTH) return null
  if (PRINTABLE_ASCII.test(value)) return value
  return value.trim() === '' || !isStorable(value) ? null : value
}

/**
 * Whether PostgreSQL can store the text: the text has no U+0000 and no lone surrogate. `isWellFormed` is not used,
 * because the login Action also runs on Node 18, which does not have that method.
 */
function isStorable(text: string): boolean {
  return !text.includes('\0') && !/\p{Surrogate}/u.test(text)
}
