import { describe, expect, test } from 'vitest'
import { createFailureTracker } from '../../src/async/failure-tracker.js'

function start(kindOf?: (error: unknown) => unknown) {
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
    const { tracker, calls } = start()
    for (const error of ['a', 'b']) tracker.recordFailure(error)
    expect(tracker.isFailing()).toBe(true)
    tracker.recordSuccess()
    expect(tracker.isFailing()).toBe(false)
    tracker.recordFailure('c')
    expect(calls).toEqual([['a', 'first'], ['b', 'again'], expect.any(Number), ['c', 'first']])
  })

  test('a failure tracker marks only the first failure of each kind, even if kinds alternate', () => {
    const { tracker, calls } = start((error) => error)
    for (const error of ['a', 'b', 'a', 'b']) tracker.recordFailure(error)
    expect(calls).toEqual([
      ['a', 'first'],
      ['b', 'first'],
      ['a', 'again'],
      ['b', 'again'],
    ])
  })

  test('a failure tracker reports no recovery without a failure', () => {
    const { tracker, calls } = start()
    tracker.recordSuccess()
    expect(calls).toEqual([])
  })
})
