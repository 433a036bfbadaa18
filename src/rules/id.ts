/**
 * Maximum length of a user or session id, in UTF-16 code units. At three bytes each it fits into an index row
 * of PostgreSQL (2,704 bytes), so that no entry can prevent a page from being stored.
 */
export const MAX_ID_LENGTH = 800

/** Reads a user, session or log id. Returns `null` for a missing, blank, too long or unstorable value. */
export function readId(value: unknown): string | null {
  if (typeof value !== 'string' || value.length > MAX_ID_LENGTH) return null
  return value.trim() === '' || !isStorable(value) ? null : value
}

/** PostgreSQL cannot store U+0000 or a lone surrogate. `isWellFormed` is missing on Node 18, which runs the Action. */
function isStorable(text: string): boolean {
  return !text.includes('\0') && !/\p{Surrogate}/u.test(text)
}
