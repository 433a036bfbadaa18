import { expect, test } from 'vitest'
import { judgeSoak, type Sample } from '../../soak/verdict.js'

const seen = { reads: 300_000, failed: 0, behindMs: 6_900, logouts: 3_000 }

/** Samples of ten minutes, one every five seconds. The memory varies, as with garbage collection. */
function samples(over: (minute: number) => Partial<Sample>): Sample[] {
  return Array.from({ length: 120 }, (_, i) => {
    const rssMb = 150 + (i % 7) * 3
    return { atMs: i * 5_000, rssMb, connections: 12, sockets: 40, ...over(i / 12) }
  })
}

function broken(run: Sample[], over: Partial<typeof seen> = {}): string[] {
  return judgeSoak(run, { ...seen, ...over }, 5_000)
    .filter(({ kept }) => !kept)
    .map(({ text }) => text.split(':')[0] ?? '')
}

test('a run keeps every limit if its memory is stable and its data is fresh', () => {
  expect(broken(samples(() => ({})))).toEqual([])
})

test('memory may grow in the first half of a run, but not in the second', () => {
  expect(broken(samples((minute) => ({ rssMb: 100 + Math.min(minute, 5) * 20 })))).toEqual([])
  expect(broken(samples((minute) => ({ rssMb: 150 + minute * 4 })))).toEqual(['memory'])
})

test.each(['connections', 'sockets'] as const)('a growing number of %s breaks a limit', (key) => {
  expect(broken(samples((minute) => ({ [key]: 12 + Math.floor(minute * 2) })))).toEqual([key])
  expect(broken(samples((minute) => ({ [key]: 12 + (Math.floor(minute) % 2) })))).toEqual([])
})

test('a logout may arrive one poll interval and one poll after its storage', () => {
  expect(
    broken(
      samples(() => ({})),
      { behindMs: 7_000 },
    ),
  ).toEqual([])
  expect(
    broken(
      samples(() => ({})),
      { behindMs: 7_001 },
    ),
  ).toEqual(['freshness'])
  expect(
    broken(
      samples(() => ({})),
      { logouts: 0 },
    ),
  ).toEqual(['freshness'])
})

test('one read in a thousand may fail', () => {
  expect(
    broken(
      samples(() => ({})),
      { reads: 9_990, failed: 10 },
    ),
  ).toEqual([])
  expect(
    broken(
      samples(() => ({})),
      { reads: 9_989, failed: 11 },
    ),
  ).toEqual(['reads'])
})
