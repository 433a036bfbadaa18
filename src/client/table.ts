import type { Fingerprint } from './fingerprint.js'

/** All capacities are powers of two. */
const INITIAL_CAPACITY = 1_024
/** The capacity is doubled above this share of used slots. */
const MAX_LOAD_FACTOR = 0.6

/**
 * A hash table: fingerprint of an id to two numbers, and to the load that delivered the row last. The numbers only
 * increase.
 */
export interface Table {
  readonly size: number
  /** Returns the slot of a row, which is valid until the next change; -1 if there is no row. */
  find(id: Fingerprint): number
  first(slot: number): number
  second(slot: number): number
  /** Inserts a row, or raises its numbers, and marks it as delivered by this load. */
  merge(id: Fingerprint, first: number, second: number, load: number): void
  /** Deletes the rows that neither this load nor a later one has delivered. */
  dropBefore(load: number): void
}

/**
 * Slots for open addressing with linear probing. Memory access dominates the cost of a check, and most ids that are
 * checked have no row. The tags alone show that, and they fit into the processor's cache.
 */
interface Slots {
  capacity: number
  /** One byte of the fingerprint in each slot, never 0; 0 if the slot is free. */
  tags: Uint8Array
  /** Words 0 and 1 of the eight words of a slot. */
  fingerprints: Uint32Array
  /** A view of the same memory, with four numbers for each slot: 1 and 2 are the numbers of the row, 3 is its load. */
  numbers: Float64Array
}

/** Half a cache line: reading the fingerprint loads the numbers as well. */
const SLOT_BYTES = 32

/**
 * Creates an empty table. It holds 64-bit fingerprints instead of ids. A row takes 55 to 110 bytes, outside the
 * JavaScript heap. About one check in 10^13 finds the row of another id with the same fingerprint. The result is then a
 * token that is wrongly revoked, never one that is wrongly accepted.
 */
export function createTable(): Table {
  let slots = createSlots(INITIAL_CAPACITY)
  let size = 0

  const seek = (id: Fingerprint) => slotOf(slots, id[0] as number, id[1] as number)
  const first = (slot: number) => slots.numbers[4 * slot + 1] as number
  const second = (slot: number) => slots.numbers[4 * slot + 2] as number

  /** Copies the rows that load `minLoad` or a later one has delivered into new slots. */
  function rebuild(capacity: number, minLoad: number): void {
    const old = slots
    slots = createSlots(capacity)
    size = 0
    for (let slot = 0; slot < old.capacity; slot++) {
      const [low, high] = [old.fingerprints[8 * slot] ?? 0, old.fingerprints[8 * slot + 1] ?? 0]
      const [a, b] = [old.numbers[4 * slot + 1] ?? 0, old.numbers[4 * slot + 2] ?? 0]
      const load = old.numbers[4 * slot + 3] ?? 0
      if (old.tags[slot] === 0 || load < minLoad) continue
      put(slots, slotOf(slots, low, high), [low, high, a, b, load])
      size++
    }
  }

  return {
    get size() {
      return size
    },
    find(id) {
      const slot = seek(id)
      return slots.tags[slot] === 0 ? -1 : slot
    },
    first,
    second,
    merge(id, nextFirst, nextSecond, load) {
      if (size + 1 > MAX_LOAD_FACTOR * slots.capacity) {
        rebuild(2 * slots.capacity, Number.NEGATIVE_INFINITY)
      }
      const slot = seek(id)
      if (slots.tags[slot] === 0) {
        put(slots, slot, [id[0] ?? 0, id[1] ?? 0, nextFirst, nextSecond, load])
        size++
        return
      }
      slots.numbers[4 * slot + 1] = Math.max(first(slot), nextFirst)
      slots.numbers[4 * slot + 2] = Math.max(second(slot), nextSecond)
      slots.numbers[4 * slot + 3] = load
    },
    dropBefore: (load) => rebuild(slots.capacity, load),
  }
}

function createSlots(capacity: number): Slots {
  const memory = new ArrayBuffer(SLOT_BYTES * capacity)
  return {
    capacity,
    tags: new Uint8Array(capacity),
    fingerprints: new Uint32Array(memory),
    numbers: new Float64Array(memory),
  }
}

/** Returns the slot of a fingerprint, or the free slot to insert it into. */
function slotOf({ capacity, tags, fingerprints }: Slots, low: number, high: number): number {
  const tag = tagOf(high)
  let slot = low & (capacity - 1)
  for (;;) {
    const found = tags[slot]
    if (found === 0) return slot
    if (found === tag && fingerprints[8 * slot] === low && fingerprints[8 * slot + 1] === high) {
      return slot
    }
    slot = (slot + 1) & (capacity - 1)
  }
}

function tagOf(high: number): number {
  return high & 0xff || 1
}

function put(
  { tags, fingerprints, numbers }: Slots,
  slot: number,
  row: [number, number, number, number, number],
) {
  tags[slot] = tagOf(row[1])
  fingerprints[8 * slot] = row[0]
  fingerprints[8 * slot + 1] = row[1]
  numbers[4 * slot + 1] = row[2]
  numbers[4 * slot + 2] = row[3]
  numbers[4 * slot + 3] = row[4]
}
