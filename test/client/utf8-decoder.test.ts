import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createUtf8Decoder } from '../../src/client/utf8-decoder.js'

/** Cuts bytes into pieces of these lengths, and a last piece with the remaining bytes. */
function cut(bytes: Uint8Array, lengths: number[]): Uint8Array[] {
  const pieces: Uint8Array[] = []
  let begin = 0
  for (const length of lengths) {
    pieces.push(bytes.subarray(begin, begin + length))
    begin += length
  }
  return [...pieces, bytes.subarray(begin)]
}

const decodeAll = (pieces: Uint8Array[]) => pieces.map(createUtf8Decoder()).join('')

test('the decoder returns the same text wherever the bytes are cut', () => {
  // U+FEFF is the byte order mark.
  const anyText = fc.string({
    unit: fc.constantFrom('a', '\n', 'é', '€', '😀', '\uFEFF'),
    maxLength: 30,
  })
  fc.assert(
    fc.property(anyText, fc.array(fc.nat(5), { maxLength: 40 }), (text, lengths) => {
      const bytes = new TextEncoder().encode(text)
      expect(decodeAll(cut(bytes, lengths))).toBe(new TextDecoder().decode(bytes))
    }),
  )
})

test('the decoder returns every complete character at once', () => {
  const decode = createUtf8Decoder()
  expect(['é', '€', '😀', 'a'].map((text) => decode(new TextEncoder().encode(text)))).toEqual([
    'é',
    '€',
    '😀',
    'a',
  ])
})

test('the decoder replaces bytes that are not UTF-8, and continues', () => {
  const malformed = [
    Uint8Array.of(0x80, 0x80, 0x80, 0x80, 0x80),
    Uint8Array.of(0xff),
    Uint8Array.of(0x61),
  ]
  expect(decodeAll(malformed)).toMatch(/^\uFFFD+a$/)
})
