import { expect, test } from 'vitest'
import { formatDuration } from '../../src/doctor/format-duration.js'
import { DAY_MS } from '../../src/rules/instant.js'

test.each([
  [0, '0 s'],
  [1_234, '1.2 s'],
  [61_000, '61 s'],
  [120_000, '2 minutes'],
  [7_200_000, '2 hours'],
  [30 * DAY_MS, '30 days'],
])('formatDuration formats %d ms as "%s"', (ms, text) => {
  expect(formatDuration(ms)).toBe(text)
})
