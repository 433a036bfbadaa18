/** The two halves of a 64-bit fingerprint. */
export type Fingerprint = Uint32Array

/** Creates a random key. Without the key, an attacker cannot choose ids that share a fingerprint. */
export function createKey(): Uint32Array {
  return crypto.getRandomValues(new Uint32Array(2))
}

/**
 * Computes HalfSipHash-1-3 of the UTF-16 code units of a text, and writes the 64 bits to `out`.
 *
 * @see https://github.com/veorq/SipHash/blob/master/halfsiphash.c
 */
export function fingerprint(text: string, key: Uint32Array, out: Fingerprint): void {
  const k0 = key[0] as number
  const k1 = key[1] as number
  let v0 = k0
  let v1 = k1 ^ 0xee
  let v2 = k0 ^ 0x6c796765
  let v3 = k1 ^ 0x74656462
  const { length } = text
  // A word holds two code units. The last word holds the length in bytes, and a code unit if their number is odd.
  const wordCount = (length >>> 1) + 1
  // One loop for the words and both finalizations: function calls would cost more than the loop body.
  for (let step = 0; step < wordCount + 6; step++) {
    const i = 2 * step
    let word = 0
    if (i + 1 < length) word = text.charCodeAt(i) | (text.charCodeAt(i + 1) << 16)
    else if (i <= length) word = (length << 25) | (i < length ? text.charCodeAt(i) : 0)
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
