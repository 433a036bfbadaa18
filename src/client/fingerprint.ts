/** The two halves of a 64-bit fingerprint. */
export type Fingerprint = Uint32Array

/** Creates a random key. Without the key, an attacker cannot find two ids with the same fingerprint. */
export function createKey(): Uint32Array {
  return crypto.getRandomValues(new Uint32Array(2))
}

/** Number of rounds before each half of the fingerprint is read. */
const FINAL_ROUNDS = 3

/** Buffer for the text to hash, in UTF-8. All calls share this buffer. */
let message = new Uint8Array(2_048)
let view = new DataView(message.buffer)
const encoder = new TextEncoder()

/**
 * Computes HalfSipHash-1-3 of the UTF-8 form of a text, and writes the 64 bits to `out`. The text must be well-formed
 * Unicode, as every id is.
 *
 * @see https://github.com/veorq/SipHash/blob/master/halfsiphash.c
 */
export function fingerprint(text: string, key: Uint32Array, out: Fingerprint): void {
  const wordCount = writeMessage(text)
  const k0 = key[0] as number
  const k1 = key[1] as number
  let v0 = k0
  let v1 = k1 ^ 0xee
  let v2 = k0 ^ 0x6c796765
  let v3 = k1 ^ 0x74656462
  // The round is written twice. A function for the round, or one loop with conditions, would take longer.
  for (let i = 0; i < wordCount; i++) {
    const word = view.getInt32(4 * i, true)
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
}

/** Writes a text to the message buffer. Returns the number of words; the last one contains the length of the text. */
function writeMessage(text: string): number {
  // A UTF-16 code unit takes up to three bytes. The last word takes four.
  const capacity = 3 * text.length + 4
  if (message.length < capacity) {
    message = new Uint8Array(capacity)
    view = new DataView(message.buffer)
  }
  // `encodeInto` takes less time than reading the code units one by one.
  const length = encoder.encodeInto(text, message).written
  const wholeWords = length >>> 2
  const remainingBytes = view.getInt32(4 * wholeWords, true) & ~(-1 << (8 * (length % 4)))
  view.setInt32(4 * wholeWords, (length << 24) | remainingBytes, true)
  return wholeWords + 1
}
