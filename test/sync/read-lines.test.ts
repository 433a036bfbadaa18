import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { readLines, unwrapEntry } from '../../src/sync/read-lines.js'

// Auth0 sends log entries to webhooks as JSON lines or as an array, and through EventBridge in other wrappers.
// `readLines` returns the items of a body. `unwrapEntry` returns the entry that an item contains.

const readItems = (body: string) => [...readLines(body)]

describe('readLines', () => {
  test.each<[string, string, unknown[]]>([
    ['one object', '{"a":1}', [{ a: 1 }]],
    ['one object over several lines', '{\n  "a": 1\n}\n', [{ a: 1 }]],
    ['an array', '[{"a":1},{"a":2}]', [{ a: 1 }, { a: 2 }]],
    ['JSON lines', '{"a":1}\n{"a":2}', [{ a: 1 }, { a: 2 }]],
    ['JSON lines that end in a newline', '{"a":1}\n{"a":2}\n', [{ a: 1 }, { a: 2 }]],
    ['JSON lines with Windows line ends', '{"a":1}\r\n{"a":2}\r\n', [{ a: 1 }, { a: 2 }]],
    [
      'JSON lines with empty lines between them',
      '\n\n{"a":1}\n \n\t\n{"a":2}\n\n',
      [{ a: 1 }, { a: 2 }],
    ],
    [
      'JSON lines of which one is an array',
      '[{"a":1},{"a":2}]\n{"a":3}',
      [{ a: 1 }, { a: 2 }, { a: 3 }],
    ],
    [
      'JSON lines with a Unicode line separator in a string',
      '{"a":"\u2028"}\n{"a":2}',
      [{ a: '\u2028' }, { a: 2 }],
    ],
    ['an empty body', '', []],
    ['a space and a tab', ' \t', []],
    ['JSON lines after a byte order mark', '\ufeff{"a":1}\n{"a":2}', [{ a: 1 }, { a: 2 }]],
    ['an array after a byte order mark', '\ufeff[{"a":1}]', [{ a: 1 }]],
    ['a byte order mark and nothing else', '\ufeff', []],
    ['empty lines and nothing else', '\r\n\n', []],
    ['an empty array', '[]', []],
    ['JSON lines of which the last is truncated', '{"a":1}\n{"a":2', [{ a: 1 }, '{"a":2']],
    [
      'a line without JSON between JSON lines',
      '{"a":1}\nnonsense\n{"a":2}',
      [{ a: 1 }, 'nonsense', { a: 2 }],
    ],
    ['no JSON at all', 'nonsense', ['nonsense']],
    ['two objects on one line, which is not JSON', '{"a":1}{"a":2}', ['{"a":1}{"a":2}']],
    ['JSON lines that are not objects', 'null\n1\n"x"', [null, 1, 'x']],
  ])('readLines returns the items of %s', (_description, body, items) =>
    expect(readItems(body)).toEqual(items),
  )

  const nonEmptyItems = fc.array(fc.dictionary(fc.string(), fc.jsonValue()), { minLength: 1 })
  const lineEnds = fc.constantFrom('\n', '\r\n', '\n\n')

  test('readLines returns the same items from JSON lines and from an array', () => {
    fc.assert(
      fc.property(nonEmptyItems, lineEnds, (items, lineEnd) => {
        const lines = items.map((item) => JSON.stringify(item))
        const expected = lines.map((line) => JSON.parse(line))
        expect(readItems(lines.join(lineEnd))).toEqual(expected)
        expect(readItems(`[${lines.join(',')}]`)).toEqual(expected)
      }),
    )
  })

  test('readLines returns every line that is neither blank nor JSON as text', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'binary' })), (texts) => {
        const body = texts.join('\n')
        // A body that is JSON as a whole is not read line by line.
        if (isJson(body)) return
        const invalidLines = body
          .split(/[\r\n]+/)
          .filter((line) => line.trim() !== '' && !isJson(line))
        const items = readItems(body)
        expect(items.filter((item) => invalidLines.some((line) => line === item))).toEqual(
          invalidLines,
        )
      }),
    )
  })

  test('readLines returns the valid lines before and after a truncated line', () => {
    fc.assert(
      fc.property(nonEmptyItems, fc.nat(), (items, randomNumber) => {
        const validLines = items.map((item) => JSON.stringify(item))
        const validItems: unknown[] = validLines.map((line) => JSON.parse(line))
        const index = randomNumber % (validLines.length + 1)
        const truncatedLine = '{"cut":"off'
        const lines = validLines.toSpliced(index, 0, truncatedLine)
        expect(readItems(lines.join('\n'))).toEqual(validItems.toSpliced(index, 0, truncatedLine))
      }),
    )
  })
})

describe('unwrapEntry', () => {
  const entry = { type: 'slo', user_id: 'auth0|1', log_id: '9001' }

  // Each case: a description, the item, and what `unwrapEntry` returns.
  test.each<[string, unknown, unknown]>([
    ['the entry itself', entry, entry],
    ['an entry in a webhook event', { log_id: '9001', data: entry }, entry],
    [
      'an entry without a log id in a webhook event with a log id',
      { log_id: '9001', data: { type: 'slo', user_id: 'auth0|1' } },
      entry,
    ],
    [
      'an entry in an EventBridge event',
      { id: 'x', detail: { log_id: '9001', data: entry } },
      entry,
    ],
    ['an entry in an EventBridge event without a webhook event', { detail: entry }, entry],
    [
      'an entry with a field named data',
      { ...entry, data: { a: 1 } },
      { ...entry, data: { a: 1 } },
    ],
    ['a wrapper without an entry', { log_id: '9001' }, { log_id: '9001' }],
    [
      'a wrapper whose data is null',
      { log_id: '9001', data: null },
      { log_id: '9001', data: null },
    ],
    [
      'an entry in a webhook event, both without a log id',
      { data: { type: 'slo' } },
      { type: 'slo' },
    ],
    ['a string', 'text', 'text'],
    ['an array', [entry], [entry]],
  ])(
    'unwrapEntry returns the entry, or the item itself if it contains no entry, for %s',
    (_description, item, expected) => expect(unwrapEntry(item)).toEqual(expected),
  )

  test('unwrapEntry never throws', () => {
    const property = fc.property(fc.jsonValue(), (item) => {
      unwrapEntry(item)
    })
    fc.assert(property)
  })
})

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}
