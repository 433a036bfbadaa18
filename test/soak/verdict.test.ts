import { expect, test } from 'vitest'
import { judgeSoak, type Sample } from '../../soak/verdict.js'

// `judgeSoak` judges a soak run: many minutes of load on the service, during which memory and connections are sampled.

const POLL_INTERVAL_MS = 5_000

/** The results of a load that breaks no limit. */
const PASSING_TOTALS = {
  successfulReads: 300_000,
  failedReads: 0,
  maxDelaySinceStorageMs: 6_900,
  receivedLogouts: 3_000,
}

/**
 * Builds the samples of a run of ten minutes, one for every five seconds. The memory varies, as with garbage
 * collection.
 *
 * @param overridesAt Returns values that replace those of the sample at a minute of the run, such as 1.5.
 */
function buildSamples(overridesAt: (minute: number) => Partial<Sample>): Sample[] {
  return Array.from({ length: 120 }, (_, index) => {
    const rssMiB = 150 + (index % 7) * 3
    const sample = { atMs: index * 5_000, rssMiB, connections: 12, sockets: 40 }
    return { ...sample, ...overridesAt(index / 12) }
  })
}

const STABLE_RUN = buildSamples(() => ({}))

/** Returns the names of the limits that a run breaks. */
function brokenLimits(run: Sample[], overrides: Partial<typeof PASSING_TOTALS> = {}): string[] {
  return judgeSoak(run, { ...PASSING_TOTALS, ...overrides }, POLL_INTERVAL_MS)
    .filter(({ kept }) => !kept)
    .map(({ text }) => text.split(':')[0] ?? '')
}

test('a run keeps every limit if its memory is stable and its data is fresh', () => {
  expect(brokenLimits(STABLE_RUN)).toEqual([])
})

test('the memory of a run may grow in the first half, but not in the second half', () => {
  const growingUntilMinute5 = buildSamples((minute) => ({ rssMiB: 100 + Math.min(minute, 5) * 20 }))
  expect(brokenLimits(growingUntilMinute5)).toEqual([])
  const growing = buildSamples((minute) => ({ rssMiB: 150 + minute * 4 }))
  expect(brokenLimits(growing)).toEqual(['memory'])
})

test.each(['connections', 'sockets'] as const)(
  'a growing number of %s breaks a limit, a varying number does not',
  (key) => {
    const growing = buildSamples((minute) => ({ [key]: 12 + Math.floor(minute * 2) }))
    expect(brokenLimits(growing)).toEqual([key])
    const varying = buildSamples((minute) => ({ [key]: 12 + (Math.floor(minute) % 2) }))
    expect(brokenLimits(varying)).toEqual([])
  },
)

test('a subscriber may receive a logout one poll interval plus two seconds after its storage', () => {
  const maxDelayMs = POLL_INTERVAL_MS + 2_000
  expect(brokenLimits(STABLE_RUN, { maxDelaySinceStorageMs: maxDelayMs })).toEqual([])
  expect(brokenLimits(STABLE_RUN, { maxDelaySinceStorageMs: maxDelayMs + 1 })).toEqual([
    'freshness',
  ])
})

test('a run in which no subscriber receives a logout breaks the limit of freshness', () => {
  expect(brokenLimits(STABLE_RUN, { receivedLogouts: 0 })).toEqual(['freshness'])
})

test('one of a thousand reads may fail', () => {
  expect(brokenLimits(STABLE_RUN, { successfulReads: 9_990, failedReads: 10 })).toEqual([])
  expect(brokenLimits(STABLE_RUN, { successfulReads: 9_989, failedReads: 11 })).toEqual(['reads'])
})
