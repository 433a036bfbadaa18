import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { fingerprint } from '../../src/client/fingerprint.js'
import {
  createGrowingSlots,
  findSlot,
  type GrowingSlots,
  makeRoom,
} from '../../src/client/growing-slots.js'
import { createTable, MAX_LOAD_NUMBER } from '../../src/client/table.js'
import { writeFingerprint, writeLogout } from '../../src/client/table-slots.js'
import { MAX_ID_LENGTH } from '../../src/rules/id.js'

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

/** Inserts new rows, so that the table grows. */
const growthStep = fc.record({
  kind: fc.constant('growth' as const),
  rows: fc.integer({ min: 1, max: 1_500 }),
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

/** A plain form of HalfSipHash-1-3, with a function for the round. Returns the two halves of the 64 bits. */
function halfSipHash13(bytes: Buffer, k0: number, k1: number): number[] {
  const v = Uint32Array.of(k0, k1 ^ 0xee, k0 ^ 0x6c796765, k1 ^ 0x74656462)
  const add = (to: number, from: number, rotation: number) => {
    v[to] = at(to) + at(from)
    v[from] = ((at(from) << rotation) | (at(from) >>> (32 - rotation))) ^ at(to)
  }
  const at = (n: number) => v[n] as number
  const turn = (n: number) => {
    v[n] = (at(n) << 16) | (at(n) >>> 16)
  }
  const round = () => {
    add(0, 1, 5)
    turn(0)
    add(2, 3, 8)
    add(0, 3, 7)
    add(2, 1, 13)
    turn(2)
  }
  const finish = () => {
    for (let n = 0; n < 3; n++) round()
    return (at(1) ^ at(3)) >>> 0
  }
  const padded = Buffer.alloc((bytes.length & ~3) + 4)
  bytes.copy(padded)
  padded[padded.length - 1] = bytes.length
  for (let offset = 0; offset < padded.length; offset += 4) {
    const word = padded.readUInt32LE(offset)
    v[3] = at(3) ^ word
    round()
    v[0] = at(0) ^ word
  }
  v[2] = at(2) ^ 0xee
  const low = finish()
  v[1] = at(1) ^ 0xdd
  return [low, finish()]
}

/** Inserts the row of the id `n`, which load 0 has delivered. */
function insertRow(growing: GrowingSlots, n: number): void {
  const [low = 0, high = 0] = fingerprintOf(String(n))
  const slot = findSlot(growing, low, high, 0)
  writeFingerprint(growing.slots, slot, low, high)
  writeLogout(growing.slots, slot, 1, false, 0)
}

describe('a table', () => {
  test('a table keeps the latest instant and the end of a session, and drops the rows that the last load has not delivered, also while its rows move into new slots (pitfall 30)', () => {
    const anyStep = fc.oneof(
      { weight: 20, arbitrary: mergeStep },
      { weight: 3, arbitrary: growthStep },
      { weight: 2, arbitrary: endOfLoadStep },
    )
    fc.assert(
      fc.property(fc.array(anyStep, { maxLength: 100 }), (steps) => {
        const table = createTable()
        const expectedRows = new Map<string, { at: number; hasEnded: boolean; load: number }>()
        let load = 0
        const merge = (id: string, stepAt: number, stepHasEnded: boolean) => {
          const old = expectedRows.get(id)
          const at = Math.max(old?.at ?? 0, stepAt)
          const hasEnded = old?.hasEnded === true || stepHasEnded
          expectedRows.set(id, { at, hasEnded, load })
          const hasChanged = old === undefined || at > old.at || hasEnded !== old.hasEnded
          expect(table.merge(fingerprintOf(id), stepAt, stepHasEnded)).toBe(hasChanged)
        }
        for (const [n, step] of steps.entries()) {
          if (step.kind === 'merge') merge(step.id, step.at, step.hasEnded)
          if (step.kind === 'growth') {
            for (let row = 0; row < step.rows; row++) merge(`${n}.${row}`, row, row % 2 === 0)
          }
          if (step.kind === 'end of load') {
            if (step.drops) {
              for (const [id, row] of expectedRows) if (row.load < load) expectedRows.delete(id)
              table.dropUndelivered()
            }
            load++
            table.beginLoad()
          }
          expect(table.count()).toBe(expectedRows.size)
          // A row of this id may still be in the old slots.
          const position = table.find(fingerprintOf('auth0|1'))
          const expectedRow = expectedRows.get('auth0|1')
          expect(position < 0 ? undefined : table.at(position)).toBe(expectedRow?.at)
        }
        for (const [id, { at, hasEnded }] of expectedRows) {
          const position = table.find(fingerprintOf(id))
          if (table.at(position) !== at || table.hasEnded(position) !== hasEnded) {
            throw new Error(`the row of ${id} is wrong`)
          }
        }
        expect(table.find(fingerprintOf('not in the table'))).toBe(-1)
      }),
    )
  })

  test.each([
    [0, false, 0],
    [MAX_AT, false, MAX_LOAD_NUMBER - 1],
    [2 ** 32 - 1, true, MAX_LOAD_NUMBER - 1],
    [2 ** 31, true, 1],
  ])(
    'a row keeps the instant %i, the end of the session (%s) and the load %i',
    (at, hasEnded, load) => {
      const table = createTable()
      const id = fingerprintOf('auth0|1')
      for (let n = 0; n < load; n++) table.beginLoad()
      table.merge(id, at, hasEnded)
      table.dropUndelivered()
      expect([table.at(table.find(id)), table.hasEnded(table.find(id))]).toEqual([at, hasEnded])
      table.beginLoad()
      table.dropUndelivered()
      expect(table.find(id)).toBe(-1)
    },
  )

  test('a table distinguishes fingerprints with the same slot and the same tag', () => {
    const table = createTable()
    const fingerprints = Array.from({ length: 500 }, (_, n) =>
      Uint32Array.of(1_000, (n << 8) | 0xff),
    )
    for (const [n, fingerprint] of fingerprints.entries()) {
      table.beginLoad()
      table.merge(fingerprint, n, false)
    }
    for (const [n, fingerprint] of fingerprints.entries()) {
      expect(table.at(table.find(fingerprint))).toBe(n)
    }
    expect(table.find(Uint32Array.of(1_000, 0xfe))).toBe(-1)
    // Each load has delivered one row.
    table.dropUndelivered()
    expect(table.count()).toBe(1)
  })

  test('a table grows to a hundred thousand rows without losing a row', () => {
    const table = createTable()
    for (let n = 0; n < 100_000; n++) {
      // The second load delivers only the last ten rows.
      if (n === 99_990) table.beginLoad()
      table.merge(fingerprintOf(`auth0|${n}`), n, n % 2 === 0)
      // Most of these rows are found while rows move.
      const earlier = n >>> 1
      if (table.at(table.find(fingerprintOf(`auth0|${earlier}`))) !== earlier) {
        throw new Error(`after ${n} rows, the row of auth0|${earlier} is lost`)
      }
    }
    expect(table.count()).toBe(100_000)
    for (let n = 0; n < 100_000; n++) {
      const position = table.find(fingerprintOf(`auth0|${n}`))
      const isCorrect = table.at(position) === n && table.hasEnded(position) === (n % 2 === 0)
      if (!isCorrect) throw new Error(`the row of auth0|${n} is lost`)
    }
    table.dropUndelivered()
    expect(table.count()).toBe(10)
    expect(table.find(fingerprintOf('auth0|5'))).toBe(-1)
  })

  test('after growth, each search moves a few rows, until all rows have moved', () => {
    const growing = createGrowingSlots()
    for (let n = 0; n < 615; n++) insertRow(growing, n)
    makeRoom(growing, 615)
    const usedSlots: number[] = []
    while (growing.oldSlots !== null) {
      // No row has this fingerprint.
      findSlot(growing, 1, 1, 0)
      usedSlots.push(growing.slots.used)
    }
    // Of 1,024 old slots, each search moves the rows of 32.
    expect(usedSlots).toHaveLength(32)
    expect(usedSlots[0]).toBeLessThan(33)
    expect(usedSlots.at(-1)).toBe(615)
  })

  test('a search for a dropped row that has not moved does not move the row', () => {
    const growing = createGrowingSlots()
    for (let n = 0; n < 615; n++) insertRow(growing, n)
    makeRoom(growing, 615)
    for (let n = 0; n < 615; n++) {
      const [low = 0, high = 0] = fingerprintOf(String(n))
      // The rows belong to load 0.
      findSlot(growing, low, high, 1)
    }
    expect(growing).toMatchObject({ slots: { used: 0 }, oldSlots: null })
  })

  test('if there is no memory for new slots, the slots do not change', () => {
    const slots = { ...createGrowingSlots().slots, capacity: 2 ** 60, used: 2 ** 60 }
    const growing = { slots, oldSlots: null, nextMove: 0 }
    expect(() => makeRoom(growing, slots.used)).toThrow(RangeError)
    expect(growing).toEqual({ slots, oldSlots: null, nextMove: 0 })
    expect(growing.slots).toBe(slots)
  })

  test('a row that is updated before it has moved keeps the update', () => {
    const growing = createGrowingSlots()
    const table = createTable(growing)
    const ids = Array.from({ length: 1_000 }, (_, n) => fingerprintOf(`auth0|${n}`))
    const [inserted, others] = [ids.slice(0, 616), ids.slice(616)]
    for (const id of inserted) table.merge(id, 1, false)
    // The rows begin to move with the last of these merges.
    expect(growing.nextMove).toBe(32)
    const updated = inserted.slice(0, 25)
    for (const id of updated) expect(table.merge(id, 2, true)).toBe(true)
    for (const id of others) table.merge(id, 1, false)
    for (const id of updated) {
      expect([table.at(table.find(id)), table.hasEnded(table.find(id))]).toEqual([2, true])
    }
    expect(table.count()).toBe(1_000)
  })

  test.each([
    ['fewer than half', 511, 1_024],
    ['half', 512, 2_048],
  ])(
    'when too many slots are used and rows need %s of them (%i), the table gets %i new slots',
    (_, rowCount, capacity) => {
      const growing = createGrowingSlots()
      for (let n = 0; n < 614; n++) insertRow(growing, n)
      makeRoom(growing, rowCount)
      expect(growing.oldSlots).toBeNull()
      insertRow(growing, 614)
      const { slots } = growing
      makeRoom(growing, rowCount)
      expect(growing.oldSlots).toBe(slots)
      expect(growing.slots.capacity).toBe(capacity)
    },
  )

  test('after fifty loads of different ids, a table contains only the rows of the last load, and has not grown further', () => {
    const growing = createGrowingSlots()
    const table = createTable(growing)
    const idsOf = (load: number) =>
      Array.from({ length: 1_500 }, (_, n) => fingerprintOf(`auth0|${load}-${n}`))
    for (let load = 1; load <= 50; load++) {
      table.beginLoad()
      for (const id of idsOf(load)) table.merge(id, load, false)
      table.dropUndelivered()
      expect(table.count()).toBe(1_500)
    }
    for (const id of idsOf(49)) expect(table.find(id)).toBe(-1)
    for (const id of idsOf(50)) expect(table.at(table.find(id))).toBe(50)
    // Before each drop, the table contains the rows of two loads.
    expect(growing.slots.capacity).toBe(8_192)
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

  test('a text may be of any length', () => {
    // The client does not limit the length of an id in the change feed.
    for (const text of ['é', '€', '😀'].map((character) => character.repeat(150_000))) {
      const expected = halfSipHash13(Buffer.from(text), KEY[0] as number, KEY[1] as number)
      expect([...fingerprintOf(text)]).toEqual(expected)
    }
  })

  test('a fingerprint is HalfSipHash-1-3 of the UTF-8 form', () => {
    const texts = fc.string({ unit: 'binary', maxLength: 40 })
    const keys = fc.tuple(fc.nat(2 ** 32 - 1), fc.nat(2 ** 32 - 1))
    fc.assert(
      fc.property(fc.oneof(fc.string({ maxLength: 40 }), texts), keys, (text, [k0, k1]) => {
        const expected = halfSipHash13(Buffer.from(text), k0, k1)
        expect([...fingerprintOf(text, Uint32Array.of(k0, k1))]).toEqual(expected)
      }),
    )
    const longest = '語'.repeat(MAX_ID_LENGTH)
    expect([...fingerprintOf(longest)]).toEqual(
      halfSipHash13(Buffer.from(longest), 0x03020100, 0x07060504),
    )
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
