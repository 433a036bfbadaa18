import type { Instant } from '../rules/instant.js'

/**
 * A part of the table, with open addressing and linear probing. A lookup spends most of its time on memory access. But
 * most ids have no row, and for such an id, a lookup reads only the tags, which fit into the processor's cache.
 */
export interface Segment {
  /** Number of slots: a power of two. */
  capacity: number
  /** Number of used slots, including the slots of dropped rows. */
  used: number
  /** The tag of each slot: a byte other than 0, computed from the fingerprint; 0: the slot is free. */
  tags: Uint8Array
  /**
   * The rows, each of which is in one cache line. A row has four words:
   *
   * - Words 0 and 1: the fingerprint.
   * - Word 2: the low 32 bits of the instant.
   * - Word 3, from the lowest bit: 11 bits of the instant, one bit for a session that has ended, 20 bits of the load.
   */
  words: Uint32Array
}

const WORDS = 4
const HIGH_BITS_OF_INSTANT = 0x7ff
const HAS_ENDED = 0x800
const LOAD_SHIFT = 12
/** If the remaining rows need at least this share of the slots, the rebuilt segment has twice the capacity. */
const MIN_GROWTH_FACTOR = 0.5

/** Creates an empty segment. */
export function createSegment(capacity: number): Segment {
  return {
    capacity,
    used: 0,
    tags: new Uint8Array(capacity),
    words: new Uint32Array(WORDS * capacity),
  }
}

/** Returns a copy without the rows that are dropped. */
export function rebuild(segment: Segment, minLoad: number): Segment {
  const { capacity } = segment
  const isFull = countRows(segment, minLoad) >= MIN_GROWTH_FACTOR * capacity
  const copy = createSegment(isFull ? 2 * capacity : capacity)
  for (let slot = 0; slot < capacity; slot++)
    if (hasRow(segment, slot, minLoad)) copyRow(segment, slot, copy)
  return copy
}

/** Returns the slot of a fingerprint, or the free slot to insert it into. */
export function slotOf({ capacity, tags, words }: Segment, low: number, high: number): number {
  const tag = tagOf(high)
  let slot = low & (capacity - 1)
  for (;;) {
    const slotTag = tags[slot]
    if (slotTag === 0) return slot
    if (slotTag === tag && words[WORDS * slot] === low && words[WORDS * slot + 1] === high) {
      return slot
    }
    slot = (slot + 1) & (capacity - 1)
  }
}

/** Whether a slot contains a row that is not dropped. */
export function hasRow({ tags, words }: Segment, slot: number, minLoad: number): boolean {
  return tags[slot] !== 0 && (words[WORDS * slot + 3] as number) >>> LOAD_SHIFT >= minLoad
}

/** Counts the rows that are not dropped. */
export function countRows(segment: Segment, minLoad: number): number {
  let rows = 0
  for (let slot = 0; slot < segment.capacity; slot++) if (hasRow(segment, slot, minLoad)) rows++
  return rows
}

/** Returns the instant of a row. */
export function instantOf({ words }: Segment, slot: number): Instant {
  const highBits = (words[WORDS * slot + 3] as number) & HIGH_BITS_OF_INSTANT
  return highBits * 2 ** 32 + (words[WORDS * slot + 2] as number)
}

/** Returns whether the session of a row has ended. */
export function hasEnded({ words }: Segment, slot: number): boolean {
  return ((words[WORDS * slot + 3] as number) & HAS_ENDED) !== 0
}

/** Begins a row in a free slot, or over a dropped row of the same fingerprint. */
export function writeFingerprint(segment: Segment, slot: number, low: number, high: number): void {
  const { tags, words } = segment
  if (tags[slot] === 0) segment.used++
  tags[slot] = tagOf(high)
  words[WORDS * slot] = low
  words[WORDS * slot + 1] = high
}

/** Writes a row except its fingerprint. */
export function writeLogout(
  { words }: Segment,
  slot: number,
  at: Instant,
  ended: boolean,
  loadNumber: number,
): void {
  // A typed array stores the low 32 bits of a number.
  words[WORDS * slot + 2] = at
  words[WORDS * slot + 3] =
    Math.floor(at / 2 ** 32) | (ended ? HAS_ENDED : 0) | (loadNumber << LOAD_SHIFT)
}

function tagOf(high: number): number {
  return high & 0xff || 1
}

/** Copies a row into a segment that does not have it. */
function copyRow(from: Segment, slot: number, to: Segment): void {
  const { words } = from
  const [low, high] = [words[WORDS * slot] as number, words[WORDS * slot + 1] as number]
  const toSlot = slotOf(to, low, high)
  writeFingerprint(to, toSlot, low, high)
  for (const word of [2, 3]) to.words[WORDS * toSlot + word] = words[WORDS * slot + word] as number
}
