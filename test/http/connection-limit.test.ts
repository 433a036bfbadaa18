import { expect, test } from 'vitest'
import { connectionsWithin, readMaxOpenFiles } from '../../src/http/connection-limit.js'

const HEADER_LINE =
  'Limit                     Soft Limit           Hard Limit           Units     \n'

test.each([
  ['Max open files            4096                 8192                 files     \n', 4_096],
  ['Max open files            unlimited            unlimited            files     \n', Infinity],
  ['', Infinity],
])('readMaxOpenFiles reads the soft limit from %j', (line, expected) => {
  expect(readMaxOpenFiles(HEADER_LINE + line)).toBe(expected)
})

test.each([
  [Infinity, Infinity],
  [20_000, 19_872],
  [1_024, 896],
  [256, 128],
  [64, 32],
])(
  'connectionsWithin allows, for %d open files, %d connections',
  (maxOpenFiles, maxConnections) => {
    expect(connectionsWithin(maxOpenFiles)).toBe(maxConnections)
  },
)
