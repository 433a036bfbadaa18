import type { Instant } from '../rules/instant.js'

/**
 * The slots of a table, with open addressing and linear probing. A lookup spends most of its time on memory access. But
 * most ids have no row, and for such an id, a lookup reads only the tags, which take a byte for each slot.
 */
export interface Slots {
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

/** Creates free slots. The system clears their memory when it is first used, so this takes little time. */
export function createSlots(capacity: number): Slots {
  return {
    capacity,
    used: 0,
    tags: new Uint8Array(capacity),
    words: new Uint32Array(WORDS * capacity),
  }
}

/** Returns the slot of a fingerprint, or the free slot to insert it into. */
export function slotOf({ capacity, tags, words }: Slots, low: number, high: number): number {
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

/** Like {@link slotOf}, for the fingerprint of a row of other slots. */
export function slotOfRow(slots: Slots, from: Slots, fromSlot: number): number {
  const { words } = from
  return slotOf(slots, words[WORDS * fromSlot] as number, words[WORDS * fromSlot + 1] as number)
}

/** Whether a slot contains a row of load `minLoad` or a later load. Rows of earlier loads are dropped. */
export function hasRow(slots: Slots, slot: number, minLoad: number): boolean {
  return !isFree(slots, slot) && loadOf(slots, slot) >= minLoad
}

/** Whether a slot is free: it contains no row, not even a dropped row. */
export function isFree({ tags }: Slots, slot: number): boolean {
  return tags[slot] === 0
}

/** Returns the number of the load that has delivered the row last. */
export function loadOf({ words }: Slots, slot: number): number {
  return (words[WORDS * slot + 3] as number) >>> LOAD_SHIFT
}

/** Returns the instant of a row. */
export function instantOf({ words }: Slots, slot: number): Instant {
  const highBits = (words[WORDS * slot + 3] as number) & HIGH_BITS_OF_INSTANT
  return highBits * 2 ** 32 + (words[WORDS * slot + 2] as number)
}

/** Returns whether the session of a row has ended. */
export function hasEnded({ words }: Slots, slot: number): boolean {
  return ((words[WORDS * slot + 3] as number) & HAS_ENDED) !== 0
}

/** Begins a row in a free slot, or over a dropped row of the same fingerprint. */
export function writeFingerprint(slots: Slots, slot: number, low: number, high: number): void {
  const { tags, words } = slots
  if (tags[slot] === 0) slots.used++
  tags[slot] = tagOf(high)
  words[WORDS * slot] = low
  words[WORDS * slot + 1] = high
}

/** Writes a row except its fingerprint. */
export function writeLogout(
  { words }: Slots,
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

/** Copies a row into a free slot. */
export function copyRow(from: Slots, fromSlot: number, to: Slots, toSlot: number): void {
  to.used++
  to.tags[toSlot] = from.tags[fromSlot] as number
  for (let word = 0; word < WORDS; word++) {
    to.words[WORDS * toSlot + word] = from.words[WORDS * fromSlot + word] as number
  }
}

function tagOf(high: number): number {
  return high & 0xff || 1
}
