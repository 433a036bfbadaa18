import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { readLines, unwrapEntry } from '../../src/sync/read-lines.js'

const read = (body: string) => [...readLines(body)]

describe('a log-stream body', () => {
  test.each<[string, string, unknown[]]>([
    ['one object', '{"a":1}', [{ a: 1 }]],
    ['one object over several lines', '{\n  "a": 1\n}\n', [{ a: 1 }]],
    ['an array', '[{"a":1},{"a":2}]', [{ a: 1 }, { a: 2 }]],
    ['JSON lines', '{"a":1}\n{"a":2}', [{ a: 1 }, { a: 2 }]],
    ['JSON lines that end in a newline', '{"a":1}\n{"a":2}\n', [{ a: 1 }, { a: 2 }]],
    ['JSON lines with Windows line ends', '{"a":1}\r\n{"a":2}\r\n', [{ a: 1 }, { a: 2 }]],
    ['empty lines', '\n\n{"a":1}\n \n\t\n{"a":2}\n\n', [{ a: 1 }, { a: 2 }]],
    ['lines that are arrays', '[{"a":1},{"a":2}]\n{"a":3}', [{ a: 1 }, { a: 2 }, { a: 3 }]],
    [
      'JSON lines with a Unicode line separator in a string',
      '{"a":"\u2028"}\n{"a":2}',
      [{ a: '\u2028' }, { a: 2 }],
    ],
    ['nothing', '', []],
    ['blanks only', ' \t', []],
    ['JSON lines after a byte order mark', '\ufeff{"a":1}\n{"a":2}', [{ a: 1 }, { a: 2 }]],
    ['an array after a byte order mark', '\ufeff[{"a":1}]', [{ a: 1 }]],
    ['a byte order mark', '\ufeff', []],
    ['line ends only', '\r\n\n', []],
    ['an empty array', '[]', []],
    ['a line that is cut off', '{"a":1}\n{"a":2', [{ a: 1 }, '{"a":2']],
    [
      'a line without JSON between JSON lines',
      '{"a":1}\nnonsense\n{"a":2}',
      [{ a: 1 }, 'nonsense', { a: 2 }],
    ],
    ['no JSON at all', 'nonsense', ['nonsense']],
    ['two objects on a line', '{"a":1}{"a":2}', ['{"a":1}{"a":2}']],
    ['values that are no objects', 'null\n1\n"x"', [null, 1, 'x']],
  ])('readLines reads %s', (_body, body, items) => expect(read(body)).toEqual(items))

  const items = fc.array(fc.dictionary(fc.string(), fc.jsonValue()), { minLength: 1 })
  const lineEnds = fc.constantFrom('\n', '\r\n', '\n\n')

  test('readLines returns the same items for JSON lines and for an array', () => {
    fc.assert(
      fc.property(items, lineEnds, (generated, lineEnd) => {
        const lines = generated.map((item) => JSON.stringify(item))
        const expected = lines.map((line) => JSON.parse(line))
        expect(read(lines.join(lineEnd))).toEqual(expected)
        expect(read(`[${lines.join(',')}]`)).toEqual(expected)
      }),
    )
  })

  test('readLines returns every line that is not blank, even if it is not JSON', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'binary' })), (texts) => {
        const lines = texts.join('\n').split(/[\r\n]+/)
        const expected = lines.filter((line) => line.trim() !== '' && !isJson(line))
        if (isJson(texts.join('\n'))) return
        expect(read(texts.join('\n')).filter((item) => expected.includes(item as string))).toEqual(
          expected,
        )
      }),
    )
  })

  test('readLines returns the valid lines before and after a truncated line', () => {
    fc.assert(
      fc.property(items, fc.nat(), (generated, at) => {
        const lines = generated.map((item) => JSON.stringify(item))
        const index = at % (lines.length + 1)
        lines.splice(index, 0, '{"cut":"off')
        const expected: unknown[] = generated.map((item) => JSON.parse(JSON.stringify(item)))
        expected.splice(index, 0, '{"cut":"off')
        expect(read(lines.join('\n'))).toEqual(expected)
      }),
    )
  })
})

describe('an item', () => {
  const entry = { type: 'slo', user_id: 'auth0|1', log_id: '9001' }

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
    ['a wrapper of null', { log_id: '9001', data: null }, { log_id: '9001', data: null }],
    ['a wrapper and an entry without a log id', { data: { type: 'slo' } }, { type: 'slo' }],
    ['no object', 'text', 'text'],
    ['a list', [entry], [entry]],
  ])('unwrapEntry accepts %s', (_item, item, expected) =>
    expect(unwrapEntry(item)).toEqual(expected),
  )

  test('unwrapEntry never throws', () => {
    fc.assert(fc.property(fc.jsonValue(), (item) => void unwrapEntry(item)))
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
