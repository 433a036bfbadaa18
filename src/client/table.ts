import type { Fingerprint } from './fingerprint.js'

/** A power of two, as every capacity after it. */
const FIRST_CAPACITY = 1_024
/** Above this share of taken slots the capacity is doubled. */
const FULL = 0.6

/** Two numbers by the fingerprint of an id, and the load that delivered them last. A number only ever grows. */
export interface Table {
  readonly size: number
  /** Where the numbers stand, until the next change; -1 where there are none. */
  find(sought: Fingerprint): number
  first(slot: number): number
  second(slot: number): number
  /** Moves both numbers forward, and marks the row as delivered by this load. */
  merge(sought: Fingerprint, first: number, second: number, load: number): void
  /** Drops the rows that neither this load nor a later one has delivered. */
  dropBefore(load: number): void
}

/**
 * Open addressing with linear probing. Most of a check is waiting for memory, and most of what is
 * checked is not held: that shows in the tags alone, which stay in the processor's cache.
 */
interface Slots {
  capacity: number
  /** A byte of a slot's fingerprint, never 0; 0 where the slot is free. */
  tags: Uint8Array
  /** The first two of eight words of a slot. */
  fingerprints: Uint32Array
  /** Of the same memory: the second and third of four numbers of a slot, and as the fourth its load. */
  numbers: Float64Array
}

/** Half a line of the cache: who looks at a fingerprint has its numbers at hand. */
const SLOT_BYTES = 32

/**
 * An empty table. It keeps 64-bit fingerprints in place of ids: each takes 55 to 110 bytes, outside
 * the heap of objects. That an id meets the fingerprint of another happens once in
 * 10^13 checks; what is then believed is a logout too many, never one too few.
 */
export function createTable(): Table {
  let slots = createSlots(FIRST_CAPACITY)
  let size = 0

  const seek = (sought: Fingerprint) => slotOf(slots, sought[0] as number, sought[1] as number)
  const first = (slot: number) => slots.numbers[4 * slot + 1] as number
  const second = (slot: number) => slots.numbers[4 * slot + 2] as number

  /** Moves the rows that this load or a later one has delivered into new slots. */
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
    find(sought) {
      const slot = seek(sought)
      return slots.tags[slot] === 0 ? -1 : slot
    },
    first,
    second,
    merge(sought, nextFirst, nextSecond, load) {
      if (size + 1 > FULL * slots.capacity) {
        rebuild(2 * slots.capacity, Number.NEGATIVE_INFINITY)
      }
      const slot = seek(sought)
      if (slots.tags[slot] === 0) {
        put(slots, slot, [sought[0] ?? 0, sought[1] ?? 0, nextFirst, nextSecond, load])
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

/** The slot of a fingerprint, or the free one where it would stand. */
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
