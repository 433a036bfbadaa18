import fc from 'fast-check'
import { expect, test } from 'vitest'
import { later, readDateTime, readNumericDate } from '../../src/rules/instant.js'

// An instant is a number of milliseconds since the Unix epoch. 1,795,428,000 s are 2026-11-23T10:00:00Z.

test.each([
  ['2026-11-23T10:00:00.123Z', 1_795_428_000_123],
  ['2026-11-23T10:00:00Z', 1_795_428_000_000],
  ['2026-11-23T11:00:00.5+01:00', 1_795_428_000_500],
  ['2026-11-23T10:00:00.123999Z', 1_795_428_000_123],
  ['2028-02-29T00:00:00Z', Date.UTC(2028, 1, 29)],
  ['2026-12-31T00:00:00.000Z', Date.UTC(2026, 11, 31)],
])('readDateTime reads %s', (text, instant) => {
  expect(readDateTime(text)).toBe(instant)
})

test.each([
  [null],
  [undefined],
  [''],
  [1_795_428_000_123],
  [{ $date: '2026-11-23T10:00:00Z' }],
  ['2026-11-23'],
  ['2026-11-23T10:00:00'],
  ['Mon, 23 Nov 2026 10:00:00 GMT'],
  ['foo 1'],
  ['2026-13-23T10:00:00Z'],
  // The month does not have this day. `Date.parse` reads it as a day of the next month.
  ['2026-02-29T10:00:00Z'],
  ['2026-02-30T10:00:00.000Z'],
  ['2026-04-31T10:00:00+01:00'],
  ['2100-02-29T10:00:00Z'],
  // These years are implausible: before 2000, or after 2199.
  ['0001-01-01T00:00:00Z'],
  ['9999-01-01T00:00:00Z'],
])('readDateTime rejects %j', (value) => {
  expect(readDateTime(value)).toBeNull()
})

test('readDateTime reads every text that toISOString writes, for the years 2000 to 2199', () => {
  const instant = fc.date({
    min: new Date('2000-01-01T00:00:00Z'),
    max: new Date('2199-12-31T23:59:59.999Z'),
    noInvalidDate: true,
  })
  fc.assert(
    fc.property(instant, (at) => {
      expect(readDateTime(at.toISOString())).toBe(at.getTime())
    }),
    { numRuns: 2_000 },
  )
})

test('readDateTime accepts a text in the format of toISOString if and only if it is an instant', () => {
  const twoDigits = (max: number) =>
    fc.integer({ min: 0, max }).map((number) => String(number).padStart(2, '0'))
  // The maximum of each field is a little above its greatest valid value, except for the year.
  const text = fc
    .tuple(twoDigits(99), twoDigits(14), twoDigits(33), twoDigits(25), twoDigits(61), twoDigits(61))
    .map(([year, month, day, hour, minute, second]) => {
      return `20${year}-${month}-${day}T${hour}:${minute}:${second}.123Z`
    })
  fc.assert(
    fc.property(text, (dateTime) => {
      const at = new Date(dateTime)
      // `Date` reads a day that the month does not have as a day of the next month.
      const isInstant = !Number.isNaN(at.getTime()) && at.toISOString() === dateTime
      expect(readDateTime(dateTime)).toBe(isInstant ? at.getTime() : null)
    }),
    { numRuns: 2_000 },
  )
})

test.each([
  // A time in whole seconds is read as the beginning of that second.
  [1_795_428_000, 1_795_428_000_000],
  [1_795_428_000.123, 1_795_428_000_123],
  [1_795_428_000.9999, 1_795_428_000_999],
])('readNumericDate reads the number %d', (seconds, instant) => {
  expect(readNumericDate(seconds)).toBe(instant)
})

test.each([
  ['1795428000', 1_795_428_000_000],
  ['1795428000.123', 1_795_428_000_123],
  ['1795428000.9999', 1_795_428_000_999],
  ['1000000000', 1_000_000_000_000],
])('readNumericDate reads the string %s', (text, instant) => {
  expect(readNumericDate(text)).toBe(instant)
})

test.each([
  [Number.NaN],
  [Number.POSITIVE_INFINITY],
  [-1],
  [0],
  [null],
  [undefined],
  [true],
  [1e300],
  // These are times in milliseconds, not in seconds.
  [1_795_428_000_123],
  ['1795428000123'],
  [''],
  [' '],
  [' 1795428000'],
  ['1795428000 '],
  ['1795428000\n'],
  ['+1795428000'],
  ['-1795428000'],
  ['1795428000.'],
  ['.1795428000'],
  ['1795428000,5'],
  ['1.795428e9'],
  ['1795428000e0'],
  ['0x6b03e2a0'],
  ['1_795_428_000'],
  // Nine digits are too few. The year of the next value is 2286, which is implausible.
  ['999999999'],
  ['9999999999'],
  // These digits are not ASCII.
  ['١٧٩٥٤٢٨٠٠٠'],
  [['1795428000']],
  [{ valueOf: () => 1_795_428_000 }],
])('readNumericDate rejects %j', (value) => {
  expect(readNumericDate(value)).toBeNull()
})

test('readNumericDate reads a number and the same number as a string as the same instant', () => {
  const seconds = fc.integer({ min: 1_000_000_000, max: 9_999_999_999 })
  fc.assert(
    fc.property(seconds, fc.integer({ min: 0, max: 999 }), (wholeSeconds, milliseconds) => {
      const text = `${wholeSeconds}.${String(milliseconds).padStart(3, '0')}`
      expect(readNumericDate(text)).toBe(readNumericDate(Number(text)))
      expect(readNumericDate(String(wholeSeconds))).toBe(readNumericDate(wholeSeconds))
    }),
  )
})

test('readNumericDate does not lose a millisecond of a time with a fraction', () => {
  fc.assert(
    fc.property(fc.integer({ min: Date.UTC(2010), max: Date.UTC(2100) }), (at) => {
      expect(readNumericDate(at / 1000)).toBe(at)
    }),
  )
})

test.each([
  [null, null, null],
  [1, null, 1],
  [null, 1, 1],
  [1, 2, 2],
  [2, 1, 2],
  [2, 2, 2],
])('later(%j, %j) returns %j', (a, b, expected) => {
  expect(later(a, b)).toBe(expected)
})
