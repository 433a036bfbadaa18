/** The two halves of a 64-bit fingerprint. */
export type Fingerprint = Uint32Array

/** Creates a random key. Without the key, an attacker cannot find two ids with the same fingerprint. */
export function createKey(): Uint32Array {
  return crypto.getRandomValues(new Uint32Array(2))
}

/** Buffer for the words of the text to hash. All calls share this buffer. */
let words = new Int32Array(512)

/**
 * Computes HalfSipHash-1-3 of a text, and writes the 64 bits to `out`.
 *
 * @see https://github.com/veorq/SipHash/blob/master/halfsiphash.c
 */
export function fingerprint(text: string, key: Uint32Array, out: Fingerprint): void {
  // A text has at most one word for every two code units, plus the last word.
  if (words.length <= text.length) words = new Int32Array(2 * text.length)
  const wordCount = packLatin1(text) ?? packUtf16(text)
  const k0 = key[0] as number
  const k1 = key[1] as number
  let v0 = k0
  let v1 = k1 ^ 0xee
  let v2 = k0 ^ 0x6c796765
  let v3 = k1 ^ 0x74656462
  // One loop handles the words and both finalizations, because function calls would take longer than the loop body.
  for (let step = 0; step < wordCount + 6; step++) {
    const word = step < wordCount ? (words[step] as number) : 0
    if (step === wordCount) v2 ^= 0xee
    if (step === wordCount + 3) {
      out[0] = v1 ^ v3
      v1 ^= 0xdd
    }
    v3 ^= word
    v0 = (v0 + v1) | 0
    v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0
    v0 = (v0 << 16) | (v0 >>> 16)
    v2 = (v2 + v3) | 0
    v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2
    v0 = (v0 + v3) | 0
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0
    v2 = (v2 + v1) | 0
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2
    v2 = (v2 << 16) | (v2 >>> 16)
    v0 ^= word
  }
  out[1] = v1 ^ v3
}

/*
 * Different texts always have different words: the last word contains the length, and bit 24 shows how the text is
 * packed. Almost every id is Latin-1. Packing four code units into a word, instead of two, saves a third of the time.
 */

/** Packs four code units into a word. Returns the number of words, or `null` if the text is not Latin-1. */
function packLatin1(text: string): number | null {
  const { length } = text
  const wordCount = (length >>> 2) + 1
  /** The bits that occur in any code unit. */
  let allBits = 0
  let i = 0
  for (let n = 0; n < wordCount - 1; n++, i += 4) {
    const a = text.charCodeAt(i)
    const b = text.charCodeAt(i + 1)
    const c = text.charCodeAt(i + 2)
    const d = text.charCodeAt(i + 3)
    allBits |= a | b | c | d
    words[n] = a | (b << 8) | (c << 16) | (d << 24)
  }
  let lastWord = length << 25
  for (let shift = 0; i < length; i++, shift += 8) {
    const unit = text.charCodeAt(i)
    allBits |= unit
    lastWord |= unit << shift
  }
  words[wordCount - 1] = lastWord
  return allBits > 0xff ? null : wordCount
}

/** Packs two code units into a word. Returns the number of words. */
function packUtf16(text: string): number {
  const { length } = text
  const wordCount = (length >>> 1) + 1
  for (let n = 0; n < wordCount - 1; n++) {
    words[n] = text.charCodeAt(2 * n) | (text.charCodeAt(2 * n + 1) << 16)
  }
  const lastUnit = length % 2 === 0 ? 0 : text.charCodeAt(length - 1)
  words[wordCount - 1] = (length << 25) | (1 << 24) | lastUnit
  return wordCount
}
