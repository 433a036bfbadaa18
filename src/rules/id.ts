/**
 * The longest user or session id: at up to three bytes a character it still fits into an index row
 * of PostgreSQL (2,704 bytes), so that no entry can make a page impossible to store.
 */
export const MAX_ID_LENGTH = 800

/** Reads a user, session or log id. `null`, absent, blank, over-long and unstorable are all `null`. */
export function readId(value: unknown): string | null {
  if (typeof value !== 'string' || value.length > MAX_ID_LENGTH) return null
  return value.trim() === '' || !isStorable(value) ? null : value
}

/** PostgreSQL's text holds neither U+0000 nor half a surrogate pair. The Action runs on Node 18, which has no `isWellFormed`. */
function isStorable(text: string): boolean {
  return !text.includes('\0') && !/\p{Surrogate}/u.test(text)
}
