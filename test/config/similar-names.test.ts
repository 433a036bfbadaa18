import { expect, test } from 'vitest'
import { findSimilar } from '../../src/config/similar-names.js'

const COMMANDS = ['demo', 'start', 'worker', 'api', 'sync', 'status', 'logout', 'floor', 'migrate']

test.each([
  ['logotu', ['logout']],
  ['logut', ['logout']],
  ['log-out', ['logout']],
  ['migrat', ['migrate']],
  ['migration', ['migrate']],
  ['stat', ['start', 'status']],
  ['strat', ['start']],
  ['snyc', ['sync']],
  ['statsu', ['status']],
  ['flor', ['floor']],
  // For these words, a suggestion would be a guess, and some commands cannot be undone.
  ['bogus', []],
  ['login', []],
  ['serve', []],
  ['run', []],
  ['doc', []],
  ['a', []],
  ['s', []],
  ['', []],
])('the suggestions of findSimilar for "%s" are %j', (word, names) => {
  expect(findSimilar(word, COMMANDS)).toEqual(names)
})
