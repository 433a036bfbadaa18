/**
 * Maximum length of a user or session id, in UTF-16 code units. A unit takes at most three bytes, so an id of this
 * length fits into an index row of PostgreSQL (2,704 bytes). No entry can prevent a page from being stored.
 */
export const MAX_ID_LENGTH = 800

/** Reads a user, session or log id. Returns `null` for a missing, blank, too long or unstorable value. */
export function readId(value: unknown): string | null {
  if (typeof value !== 'string' || value.length > MAX_ID_LENGTH) return null
  return value.trim() === '' || !isStorable(value) ? null : value
}

/**
 * Whether PostgreSQL can store the text: it has no U+0000 and no lone surrogate. `isWellFormed` is not used, because
 * Auth0 can run the login Action on Node 18, which lacks it.
 */
function isStorable(text: string): boolean {
  return !text.includes('\0') && !/\p{Surrogate}/u.test(text)
}
