/*
 * The algorithm of Rabin and Karp: a rolling hash finds the places at which a text can contain one of the searched
 * texts. The time depends on the length of the text and on the number of different lengths of the searched texts, but
 * not on their number. An alternation in a regular expression is slower by orders of magnitude if the searched texts
 * are random.
 */

/** The base of the rolling hash: an odd number with bits in all its bytes. */
const BASE = 0x1a2b3c4d

/** A larger filter lets fewer texts pass that do not match. */
const FILTER_BITS_PER_TEXT = 64

/** Returns a function that tests whether a text contains at least one of `texts`, none of which may be empty. */
export function containsAny(texts: string[]): (text: string) => boolean {
  const byLength = new Map<number, Set<string>>()
  for (const text of texts) {
    byLength.set(text.length, (byLength.get(text.length) ?? new Set()).add(text))
  }
  const searches = [...byLength].map(([length, group]) => createSearch(length, group))
  return (text) => searches.some((contains) => contains(text))
}

/** Creates the search for texts of the same length. */
function createSearch(length: number, texts: ReadonlySet<string>): (text: string) => boolean {
  const mask = 2 ** Math.ceil(Math.log2(texts.size * FILTER_BITS_PER_TEXT)) - 1
  const filter = new Uint8Array(mask + 1)
  for (const text of texts) {
    let hash = 0
    for (let i = 0; i < length; i++) hash = append(hash, text.charCodeAt(i))
    filter[slotOf(hash, mask)] = 1
  }
  let factor = 1
  for (let i = 1; i < length; i++) factor = Math.imul(factor, BASE)

  return (text) => {
    let hash = 0
    for (let i = 0; i < text.length; i++) {
      hash = append(hash, text.charCodeAt(i))
      const start = i - length + 1
      if (start < 0) continue
      if (filter[slotOf(hash, mask)] === 1 && texts.has(text.slice(start, i + 1))) return true
      hash = (hash - Math.imul(factor, text.charCodeAt(start))) | 0
    }
    return false
  }
}

function append(hash: number, unit: number): number {
  return (Math.imul(hash, BASE) + unit) | 0
}

function slotOf(hash: number, mask: number): number {
  return (hash ^ (hash >>> 15)) & mask
}
