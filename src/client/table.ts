import type { Fingerprint } from './fingerprint.js'

/**
 * Number of bits of a fingerprint that determine the segment of the row. Each segment grows separately, because copying
 * all rows of a large table at once would block the event loop.
 */
const SEGMENT_BITS = 6
const SEGMENTS = 2 ** SEGMENT_BITS
/** Capacity of an empty segment. All capacities are powers of two. */
const INITIAL_CAPACITY = 16
/** If more than this share of the slots is used, the segment is rebuilt. */
const MAX_LOAD_FACTOR = 0.6
/** If the remaining rows need more than this share of the slots, the rebuilt segment has twice the capacity. */
const MAX_REMAINING_FACTOR = 0.5

/**
 * A hash table whose keys are fingerprints of ids. A row contains two numbers, which only increase, and the number of
 * the load that has delivered the row last. A load is a reading of all rows from the service.
 */
export interface Table {
  /** Returns the position of a row; -1: the table has no such row. The position is valid until the next change. */
  find(id: Fingerprint): number
  /** Returns the first number of a row. */
  first(position: number): number
  /** Returns the second number of a row. */
  second(position: number): number
  /**
   * Inserts a row, or raises the numbers of a row. Marks the row as delivered by load `loadNumber`.
   *
   * @returns Whether the row is new, or a number was raised.
   */
  merge(id: Fingerprint, first: number, second: number, loadNumber: number): boolean
  /**
   * Drops the rows that neither load `loadNumber` nor a later load has delivered. Takes constant time. The memory of the
   * rows is freed when their segments are rebuilt.
   */
  dropBefore(loadNumber: number): void
  /** Counts the rows. Reads the whole table. */
  count(): number
}

/**
 * A part of the table, with open addressing and linear probing. A lookup spends most of its time on memory access. But
 * most ids have no row, and for such an id, a lookup reads only the tags, which fit into the processor's cache.
 */
interface Segment {
  capacity: number
  /** Number of used slots, including the slots of dropped rows. */
  used: number
  /** The tag of each slot: a byte other than 0, computed from the fingerprint; 0: the slot is free. */
  tags: Uint8Array
  /** A slot has eight words of 32 bits. Words 0 and 1 are the fingerprint. */
  fingerprints: Uint32Array
  /**
   * A view of the same memory, with four numbers for each slot. Number 0 overlaps the fingerprint. Numbers 1 and 2 are
   * the numbers of the row. Number 3 is the load that has delivered the row last.
   */
  numbers: Float64Array
}

/**
 * A slot takes half a cache line, so that reading the fingerprint also loads the numbers into the processor's cache.
 */
const SLOT_BYTES = 32

/**
 * Creates an empty table. It contains 64-bit fingerprints instead of ids. A row takes 55 to 130 bytes, outside the
 * JavaScript heap. About one lookup in 10^13 finds the row of another id with the same fingerprint. Such a row can only
 * revoke a valid token. It cannot make a revoked token valid.
 *
 * With a million rows, a row takes 69 bytes (limit: 130), finding an id takes 0.32 µs, and growth blocks the event loop
 * for 4 ms. With a `Map` of objects, the figures are 157 bytes, 1.0 µs and 34 ms (`npm run bench:check`, Node.js 20).
 */
export function createTable(): Table {
  const segments = Array.from({ length: SEGMENTS }, () => createSegment(INITIAL_CAPACITY))
  /** Rows of earlier loads are dropped. */
  let minLoad = Number.NEGATIVE_INFINITY
  const segmentAt = (position: number) => segments[position & (SEGMENTS - 1)] as Segment

  /** Copies the rows that are not dropped into a new segment. */
  function rebuild(index: number): Segment {
    const old = segmentAt(index)
    const remaining = countRows(old, minLoad)
    const isFull = remaining > MAX_REMAINING_FACTOR * old.capacity
    const segment = createSegment(isFull ? 2 * old.capacity : old.capacity)
    for (let slot = 0; slot < old.capacity; slot++)
      if (hasRow(old, slot, minLoad)) copyRow(old, slot, segment)
    segments[index] = segment
    return segment
  }

  return {
    find(id) {
      const index = indexOf(id)
      const segment = segmentAt(index)
      const slot = slotOf(segment, id[0] as number, id[1] as number)
      return hasRow(segment, slot, minLoad) ? (slot << SEGMENT_BITS) | index : -1
    },
    first: (position) => segmentAt(position).numbers[4 * (position >>> SEGMENT_BITS) + 1] as number,
    second: (position) =>
      segmentAt(position).numbers[4 * (position >>> SEGMENT_BITS) + 2] as number,
    merge(id, first, second, loadNumber) {
      const [low, high] = [id[0] as number, id[1] as number]
      const index = indexOf(id)
      let segment = segmentAt(index)
      if (segment.used + 1 > MAX_LOAD_FACTOR * segment.capacity) segment = rebuild(index)
      const slot = slotOf(segment, low, high)
      if (!hasRow(segment, slot, minLoad)) {
        put(segment, slot, [low, high, first, second, loadNumber])
        return true
      }
      const { numbers } = segment
      numbers[4 * slot + 3] = loadNumber
      // Both calls are necessary: each raises one number.
      const isFirstRaised = raise(numbers, 4 * slot + 1, first)
      return raise(numbers, 4 * slot + 2, second) || isFirstRaised
    },
    dropBefore(loadNumber) {
      minLoad = Math.max(minLoad, loadNumber)
    },
    count: () => segments.reduce((sum, segment) => sum + countRows(segment, minLoad), 0),
  }
}

function createSegment(capacity: number): Segment {
  const memory = new ArrayBuffer(SLOT_BYTES * capacity)
  return {
    capacity,
    used: 0,
    tags: new Uint8Array(capacity),
    fingerprints: new Uint32Array(memory),
    numbers: new Float64Array(memory),
  }
}

/** Returns the segment of a fingerprint, by bits that determine neither its slot nor its tag. */
function indexOf(id: Fingerprint): number {
  return ((id[1] as number) >>> 8) & (SEGMENTS - 1)
}

/** Returns the slot of a fingerprint, or the free slot to insert it into. */
function slotOf({ capacity, tags, fingerprints }: Segment, low: number, high: number): number {
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

/** Whether a slot contains a row that is not dropped. */
function hasRow({ tags, numbers }: Segment, slot: number, minLoad: number): boolean {
  return tags[slot] !== 0 && (numbers[4 * slot + 3] as number) >= minLoad
}

function countRows(segment: Segment, minLoad: number): number {
  let rows = 0
  for (let slot = 0; slot < segment.capacity; slot++) if (hasRow(segment, slot, minLoad)) rows++
  return rows
}

/** Raises a number to a value. Returns whether the number was less. */
function raise(numbers: Float64Array, i: number, value: number): boolean {
  if ((numbers[i] as number) >= value) return false
  numbers[i] = value
  return true
}

/** Copies a row into a segment that does not have it. */
function copyRow(from: Segment, slot: number, to: Segment): void {
  const { fingerprints } = from
  const toSlot = slotOf(to, fingerprints[8 * slot] as number, fingerprints[8 * slot + 1] as number)
  to.used++
  to.tags[toSlot] = from.tags[slot] as number
  for (let word = 0; word < 8; word++)
    to.fingerprints[8 * toSlot + word] = fingerprints[8 * slot + word] as number
}

/** Writes a row into a free slot, or over a dropped row of the same id. */
function put(segment: Segment, slot: number, row: [number, number, number, number, number]): void {
  const { tags, fingerprints, numbers } = segment
  const [low, high, first, second, loadNumber] = row
  if (tags[slot] === 0) segment.used++
  tags[slot] = tagOf(high)
  fingerprints[8 * slot] = low
  fingerprints[8 * slot + 1] = high
  numbers[4 * slot + 1] = first
  numbers[4 * slot + 2] = second
  numbers[4 * slot + 3] = loadNumber
}
