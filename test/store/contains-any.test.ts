import fc from 'fast-check'
import { expect, test } from 'vitest'
import { containsAny } from '../../src/store/contains-any.js'

test('a text is found at the beginning, in the middle and at the end, and among texts of other lengths', () => {
  const contains = containsAny(['auth0|1', 'S1', 'ä"\\🙂'])
  for (const text of ['auth0|1', '{"user_id":"auth0|12"}', '..S1', 'S1..', '..ä"\\🙂.']) {
    expect([text, contains(text)]).toEqual([text, true])
  }
  for (const text of ['', 'S', 'auth0|2', 'AUTH0|1', 'S 1', 'ä"\\']) {
    expect([text, contains(text)]).toEqual([text, false])
  }
  expect(containsAny([])('auth0|1')).toBe(false)
})

test('the result is the same as that of one search for each text', () => {
  const letters = fc.constantFrom('a', 'b', '\0', '\u{ffff}')
  const texts = fc.string({ unit: letters, maxLength: 12 })
  const searched = fc.array(fc.string({ unit: letters, minLength: 1, maxLength: 5 }))
  fc.assert(
    fc.property(texts, searched, (text, list) => {
      expect(containsAny(list)(text)).toBe(list.some((each) => text.includes(each)))
    }),
    { numRuns: 1_000 },
  )
})

test('among many texts with the same beginning and end, each is found, and no other', () => {
  const textOf = (n: number) => `session-${String(n).padStart(6, '0')}-of-the-user`
  const contains = containsAny(Array.from({ length: 20_000 }, (_, n) => textOf(2 * n)))
  for (const n of [0, 2, 20_000, 39_998]) expect(contains(`{"id":"${textOf(n)}"}`)).toBe(true)
  for (const n of [1, 3, 20_001, 39_999]) expect(contains(`{"id":"${textOf(n)}"}`)).toBe(false)
})
