/*
 * HMAC-SHA-256 (RFC 2104, FIPS 180-4). This code must run without `node:crypto`. It must also run synchronously, so it
 * cannot use `crypto.subtle`. Each check of a token can hash two ids, so hashing allocates no memory except for the
 * result.
 */

const BLOCK_BYTES = 64
const DIGEST_BYTES = 32
const WORDS = DIGEST_BYTES / 4
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
  const keyBytes = new Uint8Array(BLOCK_BYTES)
  const length = writeText(key)
  if (length <= BLOCK_BYTES) keyBytes.set(message.subarray(0, length))
  else {
    // The hash of a key replaces the key if it is longer than a block (RFC 2104 §2).
    digest(INITIAL, length, 0)
    writeState()
    keyBytes.set(message.subarray(0, DIGEST_BYTES))
  }
  // The first block of the inner and of the outer hash depends only on the key, so each is hashed once.
  const inner = hashPaddedKey(keyBytes, INNER_PAD)
  const outer = hashPaddedKey(keyBytes, OUTER_PAD)
  return (text) => {
    digest(inner, writeText(text), BLOCK_BYTES)
    writeState()
    digest(outer, DIGEST_BYTES, BLOCK_BYTES)
    return toHex()
  }
}

/** Returns the state of a hash after the padded key. */
function hashPaddedKey(key: Uint8Array, pad: number): Int32Array {
  message.set(key.map((byte) => byte ^ pad))
  state.set(INITIAL)
  compress(0)
  return state.slice()
}

/**
 * The constants of SHA-256 (FIPS 180-4 §4.2.2, §5.3.3): the first 32 bits of the fractional parts of the square roots
 * (`INITIAL`) and of the cube roots (`ROUND`) of the first primes.
 */
const PRIMES = listPrimes(64)
const INITIAL = Int32Array.from(PRIMES.slice(0, WORDS), (prime) => fractionBits(Math.sqrt(prime)))
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

/** Buffers that all hashes share: the message to hash, the state of the hash, and the message schedule of a block. */
let message = new Uint8Array(1_024)
let view = new DataView(message.buffer)
const state = new Int32Array(WORDS)
const schedule = new Int32Array(64)
const encoder = new TextEncoder()

/** Writes a text to the beginning of the message buffer. Returns the length of the text in bytes. */
function writeText(text: string): number {
  // A UTF-16 code unit takes up to three bytes. The padding takes up to two blocks.
  const capacity = 3 * text.length + 2 * BLOCK_BYTES
  if (message.length < capacity) {
    message = new Uint8Array(capacity)
    view = new DataView(message.buffer)
  }
  return encoder.encodeInto(text, message).written
}

/** Writes the state to the beginning of the message buffer. */
function writeState(): void {
  for (let i = 0; i < WORDS; i++) view.setInt32(4 * i, at(state, i))
}

/**
 * Hashes the first `length` bytes of the message, and leaves the result in `state`.
 *
 * @param initialState The state of the hash before the message.
 * @param hashedBytes The number of bytes before the message that were hashed into `initialState`.
 */
function digest(initialState: Int32Array, length: number, hashedBytes: number): void {
  // The padding consists of a 1 bit, zeros, and the length in bits.
  const end = Math.ceil((length + 9) / BLOCK_BYTES) * BLOCK_BYTES
  message.fill(0, length, end)
  message[length] = 0x80
  view.setInt32(end - 4, (hashedBytes + length) * 8)
  state.set(initialState)
  for (let offset = 0; offset < end; offset += BLOCK_BYTES) compress(offset)
}

/** Reads an element. The caller guarantees that the index is in the array. */
const at = (words: Int32Array, i: number) => words[i] as number

/** Updates `state` with the block of the message that begins at `offset`. */
function compress(offset: number): void {
  for (let i = 0; i < 16; i++) schedule[i] = view.getInt32(offset + 4 * i)
  for (let i = 16; i < 64; i++) {
    const x = at(schedule, i - 15)
    const y = at(schedule, i - 2)
    const s0 = rotate(x, 7) ^ rotate(x, 18) ^ (x >>> 3)
    const s1 = rotate(y, 17) ^ rotate(y, 19) ^ (y >>> 10)
    schedule[i] = (at(schedule, i - 16) + s0 + at(schedule, i - 7) + s1) | 0
  }
  let a = at(state, 0)
  let b = at(state, 1)
  let c = at(state, 2)
  let d = at(state, 3)
  let e = at(state, 4)
  let f = at(state, 5)
  let g = at(state, 6)
  let h = at(state, 7)
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
  state[0] = at(state, 0) + a
  state[1] = at(state, 1) + b
  state[2] = at(state, 2) + c
  state[3] = at(state, 3) + d
  state[4] = at(state, 4) + e
  state[5] = at(state, 5) + f
  state[6] = at(state, 6) + g
  state[7] = at(state, 7) + h
}

function rotate(word: number, bits: number): number {
  return (word >>> bits) | (word << (32 - bits))
}

/** The two hexadecimal digits of each byte value. */
const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))
const toDigits = (byte: number) => HEX[byte & 0xff] as string

function toHex(): string {
  let text = ''
  for (let i = 0; i < WORDS; i++) {
    const word = at(state, i)
    text += toDigits(word >>> 24) + toDigits(word >>> 16) + toDigits(word >>> 8) + toDigits(word)
  }
  return text
}
