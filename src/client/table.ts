import type { Fingerprint } from './fingerprint.js'

/** All capacities are powers of two. */
const INITIAL_CAPACITY = 1_024
/** The capacity is doubled above this share of used slots. */
const MAX_LOAD_FACTOR = 0.6

/**
 * A hash table whose key is the fingerprint of an id. A row contains two numbers, which only increase, and the number of
 * the load that delivered the row last.
 */
export interface Table {
  readonly size: number
  /** Returns the slot of a row, which is valid until the next change; -1 if there is no row. */
  find(id: Fingerprint): number
  first(slot: number): number
  second(slot: number): number
  /** Inserts a row, or raises the numbers of a row. Marks the row as delivered by load `loadNumber`. */
  merge(id: Fingerprint, first: number, second: number, loadNumber: number): void
  /** Deletes the rows that neither load `loadNumber` nor a later load has delivered. */
  dropBefore(loadNumber: number): void
}

/**
 * Slots for open addressing with linear probing. Memory access dominates the cost of a check. Most ids that are checked
 * have no row. For such an id, a check reads only the tags, which fit into the processor's cache.
 */
interface Slots {
  capacity: number
  /** For each slot, a byte that is computed from the fingerprint and never 0; 0 if the slot is free. */
  tags: Uint8Array
  /** A slot has eight words. Words 0 and 1 are the fingerprint. */
  fingerprints: Uint32Array
  /**
   * A view of the same memory, with four numbers for each slot. Number 0 has the memory of the fingerprint, numbers 1 and
   * 2 are the numbers of the row, number 3 is the load of the row.
   */
  numbers: Float64Array
}

/** Half a cache line: a read of the fingerprint also loads the numbers into the processor's cache. */
const SLOT_BYTES = 32

/**
 * Creates an empty table. It holds 64-bit fingerprints instead of ids. A row takes 55 to 110 bytes, outside the
 * JavaScript heap. About one check in 10^13 finds the row of another id with the same fingerprint. Such a row can only
 * revoke a valid token. It cannot make a revoked token valid.
 */
export function createTable(): Table {
  let slots = createSlots(INITIAL_CAPACITY)
  let size = 0

  const seek = (id: Fingerprint) => slotOf(slots, id[0] as number, id[1] as number)
  const first = (slot: number) => slots.numbers[4 * slot + 1] as number
  const second = (slot: number) => slots.numbers[4 * slot + 2] as number

  /** Creates new slots, and copies into them the rows that load `minLoad` or a later load has delivered. */
  function rebuild(capacity: number, minLoad: number): void {
    const old = slots
    slots = createSlots(capacity)
    size = 0
    for (let slot = 0; slot < old.capacity; slot++) {
      const [low, high] = [old.fingerprints[8 * slot] ?? 0, old.fingerprints[8 * slot + 1] ?? 0]
      const [a, b] = [old.numbers[4 * slot + 1] ?? 0, old.numbers[4 * slot + 2] ?? 0]
      const loadNumber = old.numbers[4 * slot + 3] ?? 0
      if (old.tags[slot] === 0 || loadNumber < minLoad) continue
      put(slots, slotOf(slots, low, high), [low, high, a, b, loadNumber])
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
    merge(id, nextFirst, nextSecond, loadNumber) {
      if (size + 1 > MAX_LOAD_FACTOR * slots.capacity) {
        rebuild(2 * slots.capacity, Number.NEGATIVE_INFINITY)
      }
      const slot = seek(id)
      if (slots.tags[slot] === 0) {
        put(slots, slot, [id[0] ?? 0, id[1] ?? 0, nextFirst, nextSecond, loadNumber])
        size++
        return
      }
      slots.numbers[4 * slot + 1] = Math.max(first(slot), nextFirst)
      slots.numbers[4 * slot + 2] = Math.max(second(slot), nextSecond)
      slots.numbers[4 * slot + 3] = loadNumber
    },
    dropBefore: (loadNumber) => rebuild(slots.capacity, loadNumber),
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
    const slotTag = tags[slot]
    if (slotTag === 0) return slot
    if (slotTag === tag && fingerprints[8 * slot] === low && fingerprints[8 * slot + 1] === high) {
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
