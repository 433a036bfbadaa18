import fc from 'fast-check'
import { expect, test } from 'vitest'
import { MAX_ID_LENGTH, readId } from '../../src/rules/id.js'

// `readId` reads an id of a user, a session or a log entry from a value of any type.

test.each([
  ['a null character', 'a\0b'],
  ['the first half of a surrogate pair', 'a\ud83db'],
  ['the second half of a surrogate pair', '\ude00'],
  ['both halves of a surrogate pair in the wrong order', '\ude00\ud83d'],
  ['nothing but blanks', ' \t'],
  ['801 characters, one more than the maximum', 'x'.repeat(MAX_ID_LENGTH + 1)],
])('readId rejects an id with %s', (_case, id) => {
  expect(readId(id)).toBeNull()
})

test.each(['auth0|123', 'x|ü ł', 'a\u{1f600}b', 'x'.repeat(MAX_ID_LENGTH)])(
  'readId returns %j unchanged',
  (id) => {
    expect(readId(id)).toBe(id)
  },
)

test('readId accepts a text if and only if it is well-formed Unicode without a null character', () => {
  const text = fc.string({ unit: 'binary', minLength: 1 })
  const surrogateOrNothing = fc.constantFrom('', '\ud83d', '\ude00')
  fc.assert(
    fc.property(text, surrogateOrNothing, text, (textBefore, surrogate, textAfter) => {
      // The `x` ensures that the text is not blank.
      const id = `x${textBefore}${surrogate}${textAfter}`
      expect(readId(id) !== null).toBe(id.isWellFormed() && !id.includes('\0'))
    }),
  )
})
