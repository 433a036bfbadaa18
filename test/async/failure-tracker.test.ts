import { describe, expect, it } from 'vitest'
import { createTrouble } from '../../src/async/failure-tracker.js'

function start(kindOf?: (error: unknown) => unknown) {
  const told: unknown[] = []
  const trouble = createTrouble({
    onFailure: (error, isNew) => told.push([error, isNew ? 'new' : 'again']),
    onOver: (lastedMs) => told.push(lastedMs),
    ...(kindOf && { kindOf }),
  })
  return { trouble, told }
}

describe('a trouble', () => {
  it('is new once, until it is over', () => {
    const { trouble, told } = start()
    for (const error of ['a', 'b']) trouble.report(error)
    expect(trouble.isOn()).toBe(true)
    trouble.settle()
    expect(trouble.isOn()).toBe(false)
    trouble.report('c')
    expect(told).toEqual([['a', 'new'], ['b', 'again'], expect.any(Number), ['c', 'new']])
  })

  it('is new once for each kind, also where kinds take turns', () => {
    const { trouble, told } = start((error) => error)
    for (const error of ['a', 'b', 'a', 'b']) trouble.report(error)
    expect(told).toEqual([
      ['a', 'new'],
      ['b', 'new'],
      ['a', 'again'],
      ['b', 'again'],
    ])
  })

  it('that has not begun is not over either', () => {
    const { trouble, told } = start()
    trouble.settle()
    expect(told).toEqual([])
  })
})
