import fc from 'fast-check'
import { expect, test } from 'vitest'
import { readId } from '../../src/rules/id.js'

test.each([
  ['a null character', 'a\0b'],
  ['the first half of a surrogate pair', 'a\ud83db'],
  ['the second half of a surrogate pair', '\ude00'],
  ['the halves in the wrong order', '\ude00\ud83d'],
  ['nothing but blanks', ' \t'],
  ['801 characters', 'x'.repeat(801)],
])('rejects an id with %s', (_what, id) => {
  expect(readId(id)).toBeNull()
})

test.each(['auth0|123', 'x|ü ł', 'a\u{1f600}b', 'x'.repeat(800)])('accepts %j unchanged', (id) => {
  expect(readId(id)).toBe(id)
})

test('rejects an id exactly if it is not well-formed Unicode', () => {
  const text = fc.string({ unit: 'binary', minLength: 1 })
  const half = fc.constantFrom('', '\ud83d', '\ude00')
  fc.assert(
    fc.property(text, half, text, (before, middle, after) => {
      const id = `x${before}${middle}${after}`
      expect(readId(id) !== null).toBe(id.isWellFormed() && !id.includes('\0'))
    }),
  )
})
