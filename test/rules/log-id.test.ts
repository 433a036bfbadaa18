import fc from 'fast-check'
import { expect, test } from 'vitest'
import { prefixOf, storageTimeOf, syntheticLogId } from '../../src/rules/log-id.js'

// The log id of an entry contains its storage time: when Auth0 stored the entry. A synthetic id belongs to no entry, but
// Auth0 accepts it as a position in the log.

test.each([
  // A log id from 2023. It contains microseconds.
  ['90020230314144709188593000000000000001223372037868840734', '2023-03-14T14:47:09.188Z'],
  // Log ids from 2021. They contain milliseconds. The digits after the milliseconds have another meaning.
  ['90020210903201631818782996667425639096985949517551501378', '2021-09-03T20:16:31.818Z'],
  ['80020211103055400418223355659153263714766654532376068162', '2021-11-03T05:54:00.418Z'],
])('storageTimeOf reads the storage time of %s', (logId, time) => {
  expect(storageTimeOf(logId)).toBe(Date.parse(time))
})

test.each([
  ['', 'empty'],
  ['900', 'only a prefix'],
  ['9002023031414470918', 'too short for milliseconds'],
  ['90020231314144709188593000000000000001223372037868840734', 'a 13th month'],
  ['90020230230144709188593000000000000001223372037868840734', '30 February'],
  ['90020230314254709188593000000000000001223372037868840734', 'hour 25'],
  ['90000010314144709188593000000000000001223372037868840734', 'the year 1'],
  ['9002023031414470918859300000000000000122337203786884073x', 'a letter'],
  [' 90020230314144709188593000000000000001223372037868840734', 'a blank in front'],
])('storageTimeOf returns null for %j: %s', (logId) => {
  expect(storageTimeOf(logId)).toBeNull()
})

test('a synthetic id has the layout of Auth0: 56 digits, with the time after the prefix', () => {
  const id = syntheticLogId(Date.parse('2026-11-23T10:05:09Z'))
  expect(id).toBe(`90020261123100509${'0'.repeat(39)}`)
  expect(id).toHaveLength(56)
})

test('prefixOf returns the first three digits of a log id, and a synthetic id can have such a prefix', () => {
  expect(prefixOf('80020211103055400418')).toBe('800')
  expect(syntheticLogId(0, '800').slice(0, 17)).toBe('80019700101000000')
})

const instants = fc.integer({ min: Date.UTC(2010), max: Date.UTC(2100) })

test('storageTimeOf returns the time for which a synthetic id was created', () => {
  fc.assert(
    fc.property(instants, (at) => {
      expect(storageTimeOf(syntheticLogId(at))).toBe(at)
    }),
  )
})

test('synthetic ids sort as text in the order of their times', () => {
  fc.assert(
    fc.property(instants, instants, (a, b) => {
      expect(syntheticLogId(a) < syntheticLogId(b)).toBe(a < b)
    }),
  )
})

test('storageTimeOf never throws', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      storageTimeOf(text)
    }),
  )
})
