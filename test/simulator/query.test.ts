import { describe, expect, test } from 'vitest'
import { parseQuery, QueryError, type Searchable } from '../../src/simulator/query.js'

/** The entry that the queries of these tests match or do not match. */
const ENTRY: Searchable = {
  logId: '500',
  type: 'slo',
  userId: 'auth0|1',
  dateMs: Date.parse('2026-03-01T12:00:00.000Z'),
}

/** Whether a search with the query `q`, the parameter of the Logs API, returns the entry. */
function isFound(q: string, entry = ENTRY): boolean {
  const query = parseQuery(q)
  return query.from <= entry.logId && entry.logId < query.before && query.matches(entry)
}

// In a range, a square bracket includes the bound, and a curly bracket excludes it.
describe('parseQuery', () => {
  test.each([
    ['type:slo', true],
    ['type:"slo"', true],
    ['type:SLO', false],
    ['type:s', false],
    ['type:(slo OR universal_logout_succeeded)', true],
    ['type:(s OR "slo")', true],
    ['type:(s OR fs)', false],
    ['user_id:"auth0|1"', true],
    ['user_id:"auth0|12"', false],
    ['log_id:500', true],
    ['log_id:50', false],
    ['log_id:[500 TO 501]', true],
    ['log_id:{500 TO 501]', false],
    ['log_id:[499 TO 500]', true],
    ['log_id:[499 TO 500}', false],
    ['log_id:{499 TO 500]', true],
    ['log_id:[500 TO *]', true],
    ['log_id:{500 TO *]', false],
    ['log_id:[* TO 500}', false],
    ['log_id:{* TO *}', true],
    ['log_id:[4 TO *] AND log_id:[* TO 5]', false],
    ['date:[2026-03-01T12:00:00.000Z TO *]', true],
    ['date:{2026-03-01T12:00:00.000Z TO *]', false],
    ['date:[2026-03-01T11:00:00 TO 2026-03-01T12:00:00}', false],
    ['date:[* TO 2026-03-01T12:00:00.001}', true],
    ['type:slo AND user_id:"auth0|1" AND date:[* TO *]', true],
    ['type:slo  AND  user_id:"auth0|2"', false],
  ])('for the query %s, parseQuery returns a query that finds the entry: %j', (q, isExpected) => {
    expect(isFound(q)).toBe(isExpected)
  })

  test('parseQuery reads escaped quotation marks and backslashes in quoted words', () => {
    const entry = { ...ENTRY, userId: String.raw`a"b\c` }
    expect(isFound(String.raw`user_id:"a\"b\\c"`, entry)).toBe(true)
  })

  test('a query with a range of dates never finds an entry without a date', () => {
    expect(isFound('date:[* TO *]', { ...ENTRY, dateMs: Number.NaN })).toBe(false)
  })

  test.each([
    '',
    'slo',
    'type:',
    'type:NOT',
    'type:sl*',
    'type:*',
    'type:slo type:s',
    'type:slo OR type:s',
    'type:slo AND',
    'AND type:slo',
    'NOT type:slo',
    '-type:slo',
    '(type:slo)',
    'type:(slo s)',
    'type:(slo AND s)',
    'type:()',
    'type:[a TO b]',
    'user_id:auth0|1',
    'user_id:"auth0|1',
    'ip:203.0.113.7',
    'details.session_id:x',
    'log_id:[a TO b]',
    'log_id:[1 TO 2',
    'log_id:[1 to 2]',
    'date:2026-03-01',
    'date:[2026-03-01 TO *]',
    'date:[yesterday TO *]',
    'date:[2026-13-01T00:00:00Z TO *]',
  ])('parseQuery rejects %j', (q) => {
    expect(() => parseQuery(q)).toThrow(QueryError)
  })
})
