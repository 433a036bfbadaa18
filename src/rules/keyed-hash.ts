/*
 * HMAC-SHA-256 (RFC 2104, FIPS 180-4). The rules import nothing, and a check of the client is synchronous: neither
 * `node:crypto` nor `crypto.subtle` serves both.
 */

const BLOCK_BYTES = 64
const INNER_PAD = 0x36
const OUTER_PAD = 0x5c

/** Hashes a text. */
export type KeyedHash = (text: string) => string

/**
 * Creates the hash that replaces the ids of forgotten people.
 *
 * @returns A function that returns the HMAC-SHA-256 of a text in UTF-8, as 64 lower-case hexadecimal digits.
 */
export function createKeyedHash(key: string): KeyedHash {
  const block = new Uint8Array(BLOCK_BYTES)
  const bytes = encode(key)
  block.set(bytes.length > BLOCK_BYTES ? toBytes(digest(INITIAL, bytes, 0)) : bytes)
  // The first block of either hash depends on the key alone.
  const inner = compress(
    INITIAL,
    block.map((byte) => byte ^ INNER_PAD),
    0,
  )
  const outer = compress(
    INITIAL,
    block.map((byte) => byte ^ OUTER_PAD),
    0,
  )
  return (text) => {
    const innerHash = toBytes(digest(inner, encode(text), BLOCK_BYTES))
    return toHex(digest(outer, innerHash, BLOCK_BYTES))
  }
}

const encoder = new TextEncoder()
const encode = (text: string) => encoder.encode(text)

/** The first 32 bits of the fractional part of a root of each of the first primes, as FIPS 180-4 §4.2.2 and §5.3.3 define. */
const PRIMES = listPrimes(64)
const INITIAL = Int32Array.from(PRIMES.slice(0, 8), (prime) => fractionBits(Math.sqrt(prime)))
const ROUND = Int32Array.from(PRIMES, (prime) => fractionBits(Math.cbrt(prime)))

function listPrimes(count: number): number[] {
  const primes: number[] = []
  for (let n = 2; primes.length < count; n++) {
    if (primes.every((prime) => n % prime !== 0)) primes.push(n)
  }
  return primes
}

function fractionBits(root: number): number {
  return Math.floor((root - Math.floor(root)) * 2 ** 32) | 0
}

/** Hashes the rest of a message. `before`: the number of bytes that `state` contains already. */
function digest(state: Int32Array, rest: Uint8Array, before: number): Int32Array {
  // The padding: a bit, zeros, and the length in bits.
  const length = Math.ceil((rest.length + 9) / BLOCK_BYTES) * BLOCK_BYTES
  const padded = new Uint8Array(length)
  padded.set(rest)
  padded[rest.length] = 0x80
  new DataView(padded.buffer).setUint32(length - 4, (before + rest.length) * 8)
  let next = state
  for (let offset = 0; offset < length; offset += BLOCK_BYTES) {
    next = compress(next, padded, offset)
  }
  return next
}

/** Signed words: V8 computes with them without allocating. */
const schedule = new Int32Array(64)
/** A word of the schedule or of the constants: both have 64. */
const at = (words: Int32Array, i: number) => words[i] as number

function compress(state: Int32Array, bytes: Uint8Array, offset: number): Int32Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset + offset, BLOCK_BYTES)
  for (let i = 0; i < 16; i++) schedule[i] = view.getInt32(4 * i)
  for (let i = 16; i < 64; i++) {
    const x = at(schedule, i - 15)
    const y = at(schedule, i - 2)
    const s0 = rotate(x, 7) ^ rotate(x, 18) ^ (x >>> 3)
    const s1 = rotate(y, 17) ^ rotate(y, 19) ^ (y >>> 10)
    schedule[i] = at(schedule, i - 16) + s0 + at(schedule, i - 7) + s1
  }
  let [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0] = state
  for (let i = 0; i < 64; i++) {
    const s1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)
    const t1 = (h + s1 + ((e & f) ^ (~e & g)) + at(ROUND, i) + at(schedule, i)) | 0
    const s0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)
    const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0
    h = g
    g = f
    f = e
    e = (d + t1) | 0
    d = c
    c = b
    b = a
    a = (t1 + t2) | 0
  }
  const added = [a, b, c, d, e, f, g, h]
  return state.map((word, i) => word + (added[i] ?? 0))
}

function rotate(word: number, bits: number): number {
  return (word >>> bits) | (word << (32 - bits))
}

function toBytes(words: Int32Array): Uint8Array {
  const bytes = new Uint8Array(4 * words.length)
  const view = new DataView(bytes.buffer)
  words.forEach((word, i) => {
    view.setInt32(4 * i, word)
  })
  return bytes
}

function toHex(words: Int32Array): string {
  return Array.from(words, (word) => (word >>> 0).toString(16).padStart(8, '0')).join('')
}
