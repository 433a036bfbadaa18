/**
 * Parses a URL. Returns `null` if the text is not a URL. The login Action also runs on Node 18, whose releases before
 * 18.17 have no `URL.canParse`.
 */
export function readUrl(text: string): URL | null {
  try {
    return new URL(text)
  } catch {
    return null
  }
}
