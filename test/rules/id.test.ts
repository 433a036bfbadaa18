import fc from 'fast-check'
import { expect, test } from 'vitest'
import { readId } from '../../src/rules/id.js'

test.each([
  ['a null character', 'a\0b'],
  ['the first half of a surrogate pair', 'a\ud83db'],
  ['the second half of a surrogate pair', '\ude00'],
  ['both halves of a surrogate pair in the wrong order', '\ude00\ud83d'],
  ['nothing but blanks', ' \t'],
  ['801 characters', 'x'.repeat(801)],
])('readId rejects an id with %s', (_what, id) => {
  expect(readId(id)).toBeNull()
})

test.each(['auth0|123', 'x|ü ł', 'a\u{1f600}b', 'x'.repeat(800)])(
  'readId returns %j unchanged',
  (id) => {
    expect(readId(id)).toBe(id)
  },
)

test('readId rejects an id if and only if it is no well-formed Unicode or contains a null character', () => {
  const text = fc.string({ unit: 'binary', minLength: 1 })
  const surrogate = fc.constantFrom('', '\ud83d', '\ude00')
  fc.assert(
    fc.property(text, surrogate, text, (before, middle, after) => {
      const id = `x${before}${middle}${after}`
      expect(readId(id) !== null).toBe(id.isWellFormed() && !id.includes('\0'))
    }),
  )
})
