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
    ['JSON lines of Windows', '{"a":1}\r\n{"a":2}\r\n', [{ a: 1 }, { a: 2 }]],
    ['empty lines', '\n\n{"a":1}\n \n\t\n{"a":2}\n\n', [{ a: 1 }, { a: 2 }]],
    ['lines that are arrays', '[{"a":1},{"a":2}]\n{"a":3}', [{ a: 1 }, { a: 2 }, { a: 3 }]],
    ['a separator of lines within a text', '{"a":"\u2028"}\n{"a":2}', [{ a: '\u2028' }, { a: 2 }]],
    ['nothing', '', []],
    ['blank', ' \t', []],
    ['JSON lines after a byte order mark', '\ufeff{"a":1}\n{"a":2}', [{ a: 1 }, { a: 2 }]],
    ['an array after a byte order mark', '\ufeff[{"a":1}]', [{ a: 1 }]],
    ['a byte order mark', '\ufeff', []],
    ['nothing but lines', '\r\n\n', []],
    ['an empty array', '[]', []],
    ['a line that is cut off', '{"a":1}\n{"a":2', [{ a: 1 }, '{"a":2']],
    ['a line that is none', '{"a":1}\nnonsense\n{"a":2}', [{ a: 1 }, 'nonsense', { a: 2 }]],
    ['no JSON at all', 'nonsense', ['nonsense']],
    ['two objects on a line', '{"a":1}{"a":2}', ['{"a":1}{"a":2}']],
    ['values that are no objects', 'null\n1\n"x"', [null, 1, 'x']],
  ])('may be %s', (_what, body, items) => expect(read(body)).toEqual(items))

  const items = fc.array(fc.dictionary(fc.string(), fc.jsonValue()), { minLength: 1 })
  const lineEnds = fc.constantFrom('\n', '\r\n', '\n\n')

  test('gives the same items in each form', () => {
    fc.assert(
      fc.property(items, lineEnds, (given, lineEnd) => {
        const lines = given.map((item) => JSON.stringify(item))
        const wanted = lines.map((line) => JSON.parse(line))
        expect(read(lines.join(lineEnd))).toEqual(wanted)
        expect(read(`[${lines.join(',')}]`)).toEqual(wanted)
      }),
    )
  })

  test('keeps every item that is not blank', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'binary' })), (texts) => {
        const lines = texts.join('\n').split(/[\r\n]+/)
        const wanted = lines.filter((line) => line.trim() !== '' && !isJson(line))
        if (isJson(texts.join('\n'))) return
        expect(read(texts.join('\n')).filter((item) => wanted.includes(item as string))).toEqual(
          wanted,
        )
      }),
    )
  })

  test('keeps the valid lines around a broken one', () => {
    fc.assert(
      fc.property(items, fc.nat(), (given, at) => {
        const lines = given.map((item) => JSON.stringify(item))
        const place = at % (lines.length + 1)
        lines.splice(place, 0, '{"cut":"off')
        const wanted: unknown[] = given.map((item) => JSON.parse(JSON.stringify(item)))
        wanted.splice(place, 0, '{"cut":"off')
        expect(read(lines.join('\n'))).toEqual(wanted)
      }),
    )
  })
})

describe('an item', () => {
  const entry = { type: 'slo', user_id: 'auth0|1', log_id: '9001' }

  test.each<[string, unknown, unknown]>([
    ['the entry itself', entry, entry],
    ['what a webhook wraps', { log_id: '9001', data: entry }, entry],
    [
      'the wrapper of a webhook whose entry has no log id of its own',
      { log_id: '9001', data: { type: 'slo', user_id: 'auth0|1' } },
      entry,
    ],
    ['what EventBridge wraps', { id: 'x', detail: { log_id: '9001', data: entry } }, entry],
    ['what EventBridge wraps, without the inner wrapping', { detail: entry }, entry],
    [
      'an entry with a field named data',
      { ...entry, data: { a: 1 } },
      { ...entry, data: { a: 1 } },
    ],
    ['a wrapping of nothing', { log_id: '9001' }, { log_id: '9001' }],
    ['a wrapping of null', { log_id: '9001', data: null }, { log_id: '9001', data: null }],
    ['a wrapping without any id', { data: { type: 'slo' } }, { type: 'slo' }],
    ['no object', 'text', 'text'],
    ['a list', [entry], [entry]],
  ])('may be %s', (_what, item, wanted) => expect(unwrapEntry(item)).toEqual(wanted))

  test('is unwrapped without an error for any value', () => {
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
