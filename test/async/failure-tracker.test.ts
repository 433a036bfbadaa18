import { describe, expect, test } from 'vitest'
import { createFailureTracker } from '../../src/async/failure-tracker.js'

/** Creates a failure tracker that records the calls of its callbacks. Without `kindOf`, all errors are of one kind. */
function createRecordedTracker(kindOf?: (error: unknown) => unknown) {
  const calls: unknown[] = []
  const tracker = createFailureTracker({
    onFailure: (error, isFirst) => calls.push([error, isFirst ? 'first' : 'again']),
    onRecovery: (failingMs) => calls.push(failingMs),
    ...(kindOf && { kindOf }),
  })
  return { tracker, calls }
}

describe('a failure tracker', () => {
  test('a failure tracker marks the first failure, reports the recovery, and marks the first failure after that', () => {
    const { tracker, calls } = createRecordedTracker()
    for (const error of ['a', 'b']) tracker.recordFailure(error)
    expect(tracker.isFailing()).toBe(true)
    tracker.recordSuccess()
    expect(tracker.isFailing()).toBe(false)
    tracker.recordFailure('c')
    // The number is the duration of the failure, which the recovery reports.
    expect(calls).toEqual([['a', 'first'], ['b', 'again'], expect.any(Number), ['c', 'first']])
  })

  test('a failure tracker marks the first failure of each kind, even if failures of two kinds alternate', () => {
    const { tracker, calls } = createRecordedTracker((error) => error)
    for (const error of ['a', 'b', 'a', 'b']) tracker.recordFailure(error)
    expect(calls).toEqual([
      ['a', 'first'],
      ['b', 'first'],
      ['a', 'again'],
      ['b', 'again'],
    ])
  })

  test('a failure tracker reports no recovery if nothing has failed', () => {
    const { tracker, calls } = createRecordedTracker()
    tracker.recordSuccess()
    expect(calls).toEqual([])
  })
})
