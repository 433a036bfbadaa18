import { expect, test } from 'vitest'
import { connectionsWithin, readMaxOpenFiles } from '../../src/http/connection-limit.js'

/** The first line of /proc/self/limits. */
const HEADER_LINE =
  'Limit                     Soft Limit           Hard Limit           Units     \n'

test.each([
  ['Max open files            4096                 8192                 files     \n', 4_096],
  ['Max open files            unlimited            unlimited            files     \n', Infinity],
  ['', Infinity],
])('readMaxOpenFiles reads the soft limit from %j', (line, expected) => {
  expect(readMaxOpenFiles(HEADER_LINE + line)).toBe(expected)
})

// 128 open files, but at most half of all, are reserved for everything except connections.
test.each([
  [Infinity, Infinity],
  [20_000, 19_872],
  [1_024, 896],
  [256, 128],
  [64, 32],
])(
  'if %d files may be open, connectionsWithin allows %d connections',
  (maxOpenFiles, maxConnections) => {
    expect(connectionsWithin(maxOpenFiles)).toBe(maxConnections)
  },
)
