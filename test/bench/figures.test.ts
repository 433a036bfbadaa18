import { expect, test } from 'vitest'
import { figureRows, formatNumber, formatTable } from '../../bench/figures.js'
import { median } from '../../bench/median.js'
import { quantile } from '../../bench/quantile.js'

test.each([
  [0, '0'],
  [0.00213, '0.0021'],
  [0.5, '0.50'],
  [3.456, '3.5'],
  [174.6, '175'],
  [1_234_567, '1,234,567'],
])(
  'formatNumber(%d) returns two significant digits, or an integer if the integer part has more than two digits',
  (value, text) => {
    expect(formatNumber(value)).toBe(text)
  },
)

test('figureRows shows the median and the range of the ratios, and marks a median that misses its bound', () => {
  // The first row is the head of the table.
  const [, withinBounds, outOfBounds, withoutBounds] = figureRows([
    { name: 'reads', peer: 'bare Fastify', ratios: [0.7, 0.5, 0.6], atLeast: 0.5 },
    { name: 'p99', peer: 'bare Fastify', ratios: [2.5, 3, 2], atMost: 2 },
    { name: 'memory', peer: 'Node.js', ratios: [1.2] },
  ])
  expect(withinBounds).toEqual(['reads', 'bare Fastify', '0.60 (0.50 to 0.70)', 'at least 0.5'])
  expect(outOfBounds).toEqual(['p99', 'bare Fastify', '2.5 (2.0 to 3.0)', 'at most 2: missed'])
  expect(withoutBounds).toEqual(['memory', 'Node.js', '1.2', ''])
})

test('figureRows marks a bound as missed if nothing was measured', () => {
  const [, none, notANumber] = figureRows([
    { name: 'reads', peer: 'bare Fastify', ratios: [], atLeast: 0.5 },
    { name: 'p99', peer: 'bare Fastify', ratios: [Number.NaN], atMost: 2 },
  ])
  expect(none?.[3]).toBe('at least 0.5: missed')
  expect(notANumber?.[3]).toBe('at most 2: missed')
})

test('formatTable aligns the cells in columns, without spaces at the end of a line', () => {
  expect(
    formatTable([
      ['a', 'long title', ''],
      ['longer', 'b', 'c'],
    ]),
  ).toBe('a        long title\nlonger   b            c')
})

test('quantile returns a value that is greater than the given share of the values', () => {
  // The median is the quantile of the share 0.5.
  expect(median([3, 1, 2])).toBe(2)
  expect(quantile([5, 4, 3, 2, 1, 0, 9, 8, 7, 6], 0.9)).toBe(9)
})
