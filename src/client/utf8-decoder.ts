/** Maximum length of a character, in bytes. */
const MAX_CHARACTER_BYTES = 4

const NO_BYTES = new Uint8Array()

/**
 * Creates a decoder of UTF-8 that arrives in pieces. It keeps the bytes of an incomplete character for the next piece.
 * In Node.js, a `TextDecoder` with the option `stream` takes six times as long, and its strings take twice the memory.
 */
export function createUtf8Decoder(): (bytes: Uint8Array) => string {
  let decoder = new TextDecoder()
  // Only the beginning of the text can be a byte order mark. Elsewhere, U+FEFF is a character.
  const nextDecoder = new TextDecoder('utf-8', { ignoreBOM: true })
  let incomplete = NO_BYTES
  return (bytes) => {
    const all = incomplete.length === 0 ? bytes : concat(incomplete, bytes)
    const end = endOfCharacters(all)
    const isComplete = end === all.length
    incomplete = isComplete ? NO_BYTES : all.slice(end)
    const text = decoder.decode(isComplete ? all : all.subarray(0, end))
    if (end > 0) decoder = nextDecoder
    return text
  }
}

function concat(a: Uint8Array, b: Uint8Array): Uint8Array {
  const both = new Uint8Array(a.length + b.length)
  both.set(a)
  both.set(b, a.length)
  return both
}

/** Returns the length of the bytes without an incomplete character at the end. */
function endOfCharacters(bytes: Uint8Array): number {
  const { length } = bytes
  for (let i = length - 1; i >= 0 && i > length - MAX_CHARACTER_BYTES; i--) {
    const byte = bytes[i] as number
    if (isContinuation(byte)) continue
    return i + lengthOfCharacter(byte) > length ? i : length
  }
  return length
}

/** Whether a byte is not the first byte of a character. */
function isContinuation(byte: number): boolean {
  return byte >= 0x80 && byte < 0xc0
}

/** Returns the length of a character in bytes, by its first byte. */
function lengthOfCharacter(firstByte: number): number {
  if (firstByte < 0x80) return 1
  if (firstByte < 0xe0) return 2
  return firstByte < 0xf0 ? 3 : 4
}
