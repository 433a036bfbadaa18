import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
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

describe.each([
  ['with', String.prototype.isWellFormed],
  ['without', undefined],
])('%s String.prototype.isWellFormed, as on other versions of Node.js', (_case, isWellFormed) => {
  const original = String.prototype.isWellFormed
  const setMethod = (value: unknown) => Object.assign(String.prototype, { isWellFormed: value })
  beforeEach(() => {
    setMethod(isWellFormed)
  })
  afterEach(() => {
    setMethod(original)
  })

  test('readId accepts a text if and only if it is well-formed Unicode without a null character', () => {
    const wellFormedText = fc.string({ unit: 'binary', minLength: 1 })
    const surrogateOrNothing = fc.constantFrom('', '\ud83d', '\ude00')
    fc.assert(
      fc.property(
        wellFormedText,
        surrogateOrNothing,
        wellFormedText,
        (textBefore, surrogate, textAfter) => {
          // The `x` ensures that the text is not blank.
          const id = `x${textBefore}${surrogate}${textAfter}`
          expect(readId(id) !== null).toBe(surrogate === '' && !id.includes('\0'))
        },
      ),
    )
  })
})
