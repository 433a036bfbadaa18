import { createKey, type Fingerprint, fingerprint } from './fingerprint.js'

const FIRST_CAPACITY = 1_024
/** Above this share of taken slots the table grows, by that factor. */
const FULL = 0.75
const GROWTH = 1.5

/** Two numbers by id. A number only ever grows. */
export interface Table {
  readonly size: number
  /** Where an id's numbers stand, until the next change; -1 where there are none. */
  find(id: string): number
  first(slot: number): number
  second(slot: number): number
  /** Moves both numbers of an id forward. */
  merge(id: string, first: number, second: number): void
  /** Forgets the ids whose first number is below. */
  dropBelow(first: number): void
}

/** Open addressing with linear probing. Both halves of a fingerprint are 0 where a slot is free. */
interface Slots {
  capacity: number
  fingerprints: Uint32Array
  numbers: Float64Array
}

/**
 * An empty table. It keeps 64-bit fingerprints in place of ids: of a million ids each takes some 40
 * bytes, outside the heap of objects, and is found by one look into memory. That an id meets the
 * fingerprint of another happens once in 10^13 checks; what is then believed is a logout too many,
 * never one too few.
 */
export function createTable(): Table {
  const key = createKey()
  const sought: Fingerprint = new Uint32Array(2)
  let slots = createSlots(FIRST_CAPACITY)
  let size = 0

  const seek = (id: string) => {
    fingerprint(id, key, sought)
    return slotOf(slots, sought[0] as number, sought[1] as number)
  }
  const first = (slot: number) => slots.numbers[2 * slot] as number
  const second = (slot: number) => slots.numbers[2 * slot + 1] as number

  /** Moves the rows whose first number is not below into slots of their own. */
  function rebuild(capacity: number, least: number): void {
    const old = slots
    slots = createSlots(capacity)
    size = 0
    for (let slot = 0; slot < old.capacity; slot++) {
      const [low, high] = [old.fingerprints[2 * slot] ?? 0, old.fingerprints[2 * slot + 1] ?? 0]
      const [a, b] = [old.numbers[2 * slot] ?? 0, old.numbers[2 * slot + 1] ?? 0]
      if ((low === 0 && high === 0) || a < least) continue
      put(slots, slotOf(slots, low, high), [low, high, a, b])
      size++
    }
  }

  return {
    get size() {
      return size
    },
    find(id) {
      const slot = seek(id)
      return isFree(slots, slot) ? -1 : slot
    },
    first,
    second,
    merge(id, nextFirst, nextSecond) {
      if (size + 1 > FULL * slots.capacity) {
        rebuild(Math.ceil(slots.capacity * GROWTH), Number.NEGATIVE_INFINITY)
      }
      const slot = seek(id)
      if (isFree(slots, slot)) {
        put(slots, slot, [sought[0] ?? 0, sought[1] ?? 0, nextFirst, nextSecond])
        size++
        return
      }
      slots.numbers[2 * slot] = Math.max(first(slot), nextFirst)
      slots.numbers[2 * slot + 1] = Math.max(second(slot), nextSecond)
    },
    dropBelow: (least) => rebuild(slots.capacity, least),
  }
}

function createSlots(capacity: number): Slots {
  return {
    capacity,
    fingerprints: new Uint32Array(2 * capacity),
    numbers: new Float64Array(2 * capacity),
  }
}

/** The slot of a fingerprint, or the free one where it would stand. */
function slotOf({ capacity, fingerprints }: Slots, low: number, high: number): number {
  let slot = Math.floor((low / 2 ** 32) * capacity)
  for (;;) {
    const a = fingerprints[2 * slot]
    const b = fingerprints[2 * slot + 1]
    if ((a === low && b === high) || (a === 0 && b === 0)) return slot
    slot = slot + 1 === capacity ? 0 : slot + 1
  }
}

function isFree({ fingerprints }: Slots, slot: number): boolean {
  return fingerprints[2 * slot] === 0 && fingerprints[2 * slot + 1] === 0
}

function put(
  { fingerprints, numbers }: Slots,
  slot: number,
  row: [number, number, number, number],
) {
  fingerprints[2 * slot] = row[0]
  fingerprints[2 * slot + 1] = row[1]
  numbers[2 * slot] = row[2]
  numbers[2 * slot + 1] = row[3]
}
