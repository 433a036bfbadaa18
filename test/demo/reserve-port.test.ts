import { expect, test } from 'vitest'
import { preferUnless } from '../../src/demo/reserve-port.js'

test.each([
  ['any free port instead of the port that PORT gives to the API', '3002', 0],
  ['the preferred port beside another port of the API', '8080', 3002],
  ['the preferred port if PORT is not set', undefined, 3002],
  ['the preferred port if PORT is empty', '', 3002],
])('preferUnless returns %s', (_case, apiPort, expected) => {
  expect(preferUnless(apiPort, 3002)).toBe(expected)
})
