import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { fingerprint } from '../../src/client/fingerprint.js'
import { createTable, MAX_LOAD_NUMBER } from '../../src/client/table.js'
import {
  createSegment,
  rebuild,
  writeFingerprint,
  writeLogout,
} from '../../src/client/table-segment.js'

const anyId = fc.oneof(fc.constantFrom('auth0|1', 'auth0|2', 'S1', 'ä', '€'), fc.string())

/** The greatest instant that a row can contain. */
const MAX_AT = 2 ** 43 - 1

/** Inserts or updates a row. The current load has delivered the row. */
const mergeStep = fc.record({
  kind: fc.constant('merge' as const),
  id: anyId,
  at: fc.oneof(fc.integer({ min: 0, max: 9 }), fc.integer({ min: 0, max: MAX_AT })),
  hasEnded: fc.boolean(),
})

/**
 * Ends the current load, a reading of all rows from the service. If `drops` is true, drops the rows that the load has
 * not delivered.
 */
const endOfLoadStep = fc.record({
  kind: fc.constant('end of load' as const),
  drops: fc.boolean(),
})

const KEY = Uint32Array.of(0x03020100, 0x07060504)
/** Returns the 64-bit hash of an id. */
const fingerprintOf = (text: string, hashKey = KEY) => {
  const words = new Uint32Array(2)
  fingerprint(text, hashKey, words)
  return words
}

describe('a table', () => {
  test('a table keeps the latest instant and the end of a session, and drops the rows that the last load has not delivered (pitfall 30)', () => {
    const anyStep = fc.oneof({ weight: 20, arbitrary: mergeStep }, endOfLoadStep)
    fc.assert(
      fc.property(fc.array(anyStep, { maxLength: 200 }), (steps) => {
        const table = createTable()
        const expectedRows = new Map<string, { at: number; hasEnded: boolean; load: number }>()
        let load = 1
        for (const step of steps) {
          if (step.kind === 'merge') {
            const old = expectedRows.get(step.id)
            const at = Math.max(old?.at ?? 0, step.at)
            const hasEnded = old?.hasEnded === true || step.hasEnded
            expectedRows.set(step.id, { at, hasEnded, load })
            const hasChanged = old === undefined || at > old.at || hasEnded !== old.hasEnded
            const result = table.merge(fingerprintOf(step.id), step.at, step.hasEnded, load)
            expect(result).toBe(hasChanged)
          } else {
            if (step.drops) {
              for (const [id, row] of expectedRows) if (row.load < load) expectedRows.delete(id)
              table.dropBefore(load)
            }
            load++
          }
        }
        expect(table.count()).toBe(expectedRows.size)
        for (const [id, { at, hasEnded }] of expectedRows) {
          const position = table.find(fingerprintOf(id))
          expect([table.at(position), table.hasEnded(position)]).toEqual([at, hasEnded])
        }
        expect(table.find(fingerprintOf('not in the table'))).toBe(-1)
      }),
    )
  })

  test.each([
    [0, false, 0],
    [MAX_AT, false, MAX_LOAD_NUMBER],
    [2 ** 32 - 1, true, MAX_LOAD_NUMBER],
    [2 ** 31, true, 1],
  ])(
    'a row keeps the instant %i, the end of the session (%s) and the load %i',
    (at, hasEnded, load) => {
      const table = createTable()
      const id = fingerprintOf('auth0|1')
      table.merge(id, at, hasEnded, load)
      table.dropBefore(load)
      expect([table.at(table.find(id)), table.hasEnded(table.find(id))]).toEqual([at, hasEnded])
      table.dropBefore(load + 1)
      expect(table.find(id)).toBe(-1)
    },
  )

  test('a table distinguishes fingerprints with the same slot and the same tag', () => {
    const table = createTable()
    const fingerprints = Array.from({ length: 500 }, (_, n) =>
      Uint32Array.of(1_000, (n << 8) | 0xff),
    )
    for (const [n, fingerprint] of fingerprints.entries()) table.merge(fingerprint, n, false, n)
    for (const [n, fingerprint] of fingerprints.entries()) {
      expect(table.at(table.find(fingerprint))).toBe(n)
    }
    expect(table.find(Uint32Array.of(1_000, 0xfe))).toBe(-1)
    // The row n was delivered by the load n, so only the last row remains.
    table.dropBefore(499)
    expect(table.count()).toBe(1)
  })

  test('a table grows to a hundred thousand rows without losing a row', () => {
    const table = createTable()
    // Load 2 delivers only the last ten rows.
    const loadOf = (n: number) => (n < 99_990 ? 1 : 2)
    for (let n = 0; n < 100_000; n++) {
      table.merge(fingerprintOf(`auth0|${n}`), n, n % 2 === 0, loadOf(n))
    }
    expect(table.count()).toBe(100_000)
    for (let n = 0; n < 100_000; n++) {
      const position = table.find(fingerprintOf(`auth0|${n}`))
      const isCorrect = table.at(position) === n && table.hasEnded(position) === (n % 2 === 0)
      if (!isCorrect) throw new Error(`the row of auth0|${n} is lost`)
    }
    table.dropBefore(2)
    expect(table.count()).toBe(10)
    expect(table.find(fingerprintOf('auth0|5'))).toBe(-1)
  })

  test('a segment whose rows take half of the slots doubles when it is rebuilt, so that the next row does not rebuild it again', () => {
    const segment = createSegment(16)
    const insertRow = (slot: number) => {
      writeFingerprint(segment, slot, slot, slot)
      writeLogout(segment, slot, 1, false, 1)
    }
    for (let slot = 0; slot < 7; slot++) insertRow(slot)
    expect(rebuild(segment, 0)).toMatchObject({ capacity: 16, used: 7 })
    insertRow(7)
    expect(rebuild(segment, 0)).toMatchObject({ capacity: 32, used: 8 })
  })

  test('after twelve loads of different ids, a table contains only the rows of the last load', () => {
    const table = createTable()
    const idsOf = (load: number) =>
      Array.from({ length: 1_500 }, (_, n) => fingerprintOf(`auth0|${load}-${n}`))
    for (let load = 1; load <= 12; load++) {
      for (const id of idsOf(load)) table.merge(id, load, false, load)
      table.dropBefore(load)
      expect(table.count()).toBe(1_500)
    }
    for (const id of idsOf(11)) expect(table.find(id)).toBe(-1)
    for (const id of idsOf(12)) expect(table.at(table.find(id))).toBe(12)
  })
})

describe('a fingerprint', () => {
  const hashOf = (text: string, hashKey = KEY) => fingerprintOf(text, hashKey).join('.')

  test('a fingerprint depends on the characters, their order, their number, and the key', () => {
    const texts = [
      '',
      '\0',
      '\0\0',
      'a',
      'ab',
      'ba',
      'aba',
      'abab',
      'Ł',
      'A',
      'a\0',
      '\0a',
      'é',
      'aé',
    ]
    // Some of these texts have equal bytes in different characters: '慡' is U+6161, and 'a' is U+0061.
    texts.push('\0\0\0\0', 'ābab', 'a\u0162ab', '慡慡', 'aaaa', 'Ā', 'Āb', 'bĀ', 'a'.repeat(2_000))
    expect(new Set(texts.map((text) => hashOf(text))).size).toBe(texts.length)
    expect(hashOf('ab')).toBe(hashOf('ab'))
    expect(hashOf('ab')).not.toBe(hashOf('ab', Uint32Array.of(0x03020101, 0x07060504)))
  })

  test('the fingerprints of two hundred thousand similar ids are different', () => {
    const hashes = new Set<string>()
    for (let n = 0; n < 200_000; n++) hashes.add(hashOf(`auth0|65000000000000000000${n}`))
    expect(hashes.size).toBe(200_000)
  })

  test('each bit is set in the fingerprints of about half of all ids', () => {
    const counts = new Array(64).fill(0)
    const words = new Uint32Array(2)
    for (let n = 0; n < 10_000; n++) {
      fingerprint(`auth0|${n}`, KEY, words)
      for (let bit = 0; bit < 64; bit++) counts[bit] += ((words[bit >> 5] ?? 0) >>> (bit & 31)) & 1
    }
    // 300 is six standard deviations.
    for (const count of counts) expect(Math.abs(count - 5_000)).toBeLessThan(300)
  })
})
