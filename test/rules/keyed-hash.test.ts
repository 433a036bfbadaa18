import { createHmac } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { MAX_ID_LENGTH } from '../../src/rules/id.js'
import { createKeyedHash } from '../../src/rules/keyed-hash.js'

// A keyed hash replaces the id of a forgotten person. last-logout implements HMAC-SHA-256 itself, because the code also
// runs without `node:crypto`. These tests compare the result with the result of Node.js.

const expectedHash = (key: string, text: string) =>
  createHmac('sha256', key).update(text).digest('hex')

describe('a keyed hash', () => {
  test.each([
    ['RFC 4231, case 2', 'Jefe', 'what do ya want for nothing?'],
    ['an empty text', 'key', ''],
    ['a text with a key of 64 bytes, one block', 'k'.repeat(64), 'auth0|1'],
    ['a text with a key of more than one block', 'k'.repeat(65), 'auth0|1'],
    ['a text with a surrogate pair', 'key', 'oidc|🦊|ł'],
    ['an id of the maximum length', 'key', '€'.repeat(MAX_ID_LENGTH)],
    // SHA-256 hashes blocks of 64 bytes. The padding takes at least 9 bytes, so 56 bytes need a second block, and 120
    // bytes need a third.
    ...[54, 55, 56, 63, 64, 65, 119, 120].map((length): [string, string, string] => [
      `a text of ${length} bytes`,
      'key',
      'a'.repeat(length),
    ]),
  ])('the keyed hash of %s equals its HMAC-SHA-256', (_case, key, text) => {
    expect(createKeyedHash(key)(text)).toBe(expectedHash(key, text))
  })

  test('the keyed hash of any key and text equals the HMAC-SHA-256 of Node.js', () => {
    const texts = fc.string({ unit: 'binary', maxLength: 300 })
    fc.assert(
      fc.property(texts, fc.array(texts, { maxLength: 3 }), (key, textsToHash) => {
        const hash = createKeyedHash(key)
        for (const text of textsToHash) expect(hash(text)).toBe(expectedHash(key, text))
      }),
    )
  })
})
