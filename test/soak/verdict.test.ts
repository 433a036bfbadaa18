import { expect, test } from 'vitest'
import { judgeSoak, type Sample } from '../../soak/verdict.js'

const PASSING_TOTALS = {
  successfulReads: 300_000,
  failedReads: 0,
  maxDelaySinceStorageMs: 6_900,
  receivedLogouts: 3_000,
}

/** Returns the samples of ten minutes, one for every five seconds. The memory varies, as with garbage collection. */
function samples(overridesAt: (minute: number) => Partial<Sample>): Sample[] {
  return Array.from({ length: 120 }, (_, i) => {
    const rssMiB = 150 + (i % 7) * 3
    return { atMs: i * 5_000, rssMiB, connections: 12, sockets: 40, ...overridesAt(i / 12) }
  })
}

/** Returns the names of the limits that a run breaks. */
function brokenLimits(run: Sample[], overrides: Partial<typeof PASSING_TOTALS> = {}): string[] {
  return judgeSoak(run, { ...PASSING_TOTALS, ...overrides }, 5_000)
    .filter(({ kept }) => !kept)
    .map(({ text }) => text.split(':')[0] ?? '')
}

test('a run keeps every limit if its memory is stable and its data is fresh', () => {
  expect(brokenLimits(samples(() => ({})))).toEqual([])
})

test('the memory of a run may grow in the first half, but not in the second half', () => {
  expect(brokenLimits(samples((minute) => ({ rssMiB: 100 + Math.min(minute, 5) * 20 })))).toEqual(
    [],
  )
  expect(brokenLimits(samples((minute) => ({ rssMiB: 150 + minute * 4 })))).toEqual(['memory'])
})

test.each(['connections', 'sockets'] as const)('a growing number of %s breaks a limit', (key) => {
  expect(brokenLimits(samples((minute) => ({ [key]: 12 + Math.floor(minute * 2) })))).toEqual([key])
  expect(brokenLimits(samples((minute) => ({ [key]: 12 + (Math.floor(minute) % 2) })))).toEqual([])
})

test('a subscriber may receive a logout one poll interval plus two seconds after its storage', () => {
  expect(
    brokenLimits(
      samples(() => ({})),
      { maxDelaySinceStorageMs: 7_000 },
    ),
  ).toEqual([])
  expect(
    brokenLimits(
      samples(() => ({})),
      { maxDelaySinceStorageMs: 7_001 },
    ),
  ).toEqual(['freshness'])
  expect(
    brokenLimits(
      samples(() => ({})),
      { receivedLogouts: 0 },
    ),
  ).toEqual(['freshness'])
})

test('one of a thousand reads may fail', () => {
  expect(
    brokenLimits(
      samples(() => ({})),
      { successfulReads: 9_990, failedReads: 10 },
    ),
  ).toEqual([])
  expect(
    brokenLimits(
      samples(() => ({})),
      { successfulReads: 9_989, failedReads: 11 },
    ),
  ).toEqual(['reads'])
})
