/** The two halves of a 64-bit fingerprint. */
export type Fingerprint = Uint32Array

/** Creates a random key. Without the key, an attacker cannot find two ids with the same fingerprint. */
export function createKey(): Uint32Array {
  return crypto.getRandomValues(new Uint32Array(2))
}

/** Number of rounds before each half of the fingerprint is read. */
const FINAL_ROUNDS = 3
const MAX_ASCII = 0x7f
const encoder = new TextEncoder()

/**
 * Computes HalfSipHash-1-3 of the UTF-8 form of a text, and writes the 64 bits to `out`. The text must be well-formed
 * Unicode, as every id is.
 *
 * @see https://github.com/veorq/SipHash/blob/master/halfsiphash.c
 */
export function fingerprint(text: string, key: Uint32Array, out: Fingerprint): void {
  // Nearly every id is ASCII: its code units are its bytes. Encoding it first would take longer than hashing it.
  if (hashUnits(text, key, out) <= MAX_ASCII) return
  hashUnits(toByteUnits(text), key, out)
}

/** Returns a text whose code units are the bytes of the UTF-8 form. */
function toByteUnits(text: string): string {
  let units = ''
  // One call of `fromCharCode` with all bytes would exceed the stack if the text is long.
  for (const byte of encoder.encode(text)) units += String.fromCharCode(byte)
  return units
}

/**
 * Writes the hash of a text whose code units are bytes. Returns the bitwise OR of all units. If it is greater than 255,
 * a unit is no byte, and the hash must not be used.
 */
function hashUnits(text: string, key: Uint32Array, out: Fingerprint): number {
  let v0 = key[0] as number
  let v1 = key[1] as number
  let v2 = v0 ^ 0x6c796765
  let v3 = v1 ^ 0x74656462
  v1 ^= 0xee
  const { length } = text
  let allUnits = 0
  // The round is written twice. A function for the round, or one loop with conditions, would take longer.
  for (let i = 0; i <= length; i += 4) {
    let word = 0
    if (i + 4 <= length) {
      const unit0 = text.charCodeAt(i)
      const unit1 = text.charCodeAt(i + 1)
      const unit2 = text.charCodeAt(i + 2)
      const unit3 = text.charCodeAt(i + 3)
      allUnits |= unit0 | unit1 | unit2 | unit3
      word = unit0 | (unit1 << 8) | (unit2 << 16) | (unit3 << 24)
    } else {
      // The last word contains the remaining units, and the length of the text.
      word = length << 24
      for (let n = i; n < length; n++) {
        const unit = text.charCodeAt(n)
        allUnits |= unit
        word |= unit << (8 * (n - i))
      }
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
  v2 ^= 0xee
  for (let round = 1; round <= 2 * FINAL_ROUNDS; round++) {
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
    if (round === FINAL_ROUNDS) {
      out[0] = v1 ^ v3
      v1 ^= 0xdd
    }
  }
  out[1] = v1 ^ v3
  return allUnits
}
