import { expect, test } from 'vitest'
import { formatDuration } from '../../src/doctor/format-duration.js'

test.each([
  [0, '0 s'],
  [1_234, '1.2 s'],
  [61_000, '61 s'],
  [120_000, '2 minutes'],
  [7_200_000, '2 hours'],
  [30 * 86_400_000, '30 days'],
])('%d ms are formatted as %s', (ms, text) => {
  expect(formatDuration(ms)).toBe(text)
})
