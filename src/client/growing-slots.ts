import { copyRow, createSlots, hasRow, isFree, type Slots, slotOf } from './table-slots.js'

/** Number of slots of an empty table. All capacities are powers of two. */
const INITIAL_CAPACITY = 1_024
/** If more than this share of the slots is used, the rows move into new slots. */
const MAX_LOAD_FACTOR = 0.6
/** If the rows need at least this share of the slots, there are twice as many new slots. */
const MIN_GROWTH_FACTOR = 0.5
/**
 * Number of old slots whose rows each merge moves. Moving all rows of a large table at once would block the event loop.
 * With more than ten, all rows have moved before the new slots are full.
 */
const MOVES_PER_MERGE = 32

/** The slots of a table that grows. */
export interface GrowingSlots {
  slots: Slots
  /** The old slots, while their rows move to \`slots\`; \`null\`: no rows move. */
  oldSlots: Slots | null
  /** The first old slot whose row has not moved. */
  nextMove: number
}

/** Creates free slots. */
export function createGrowingSlots(): GrowingSlots {
  return { slots: createSlots(INITIAL_CAPACITY), oldSlots: null, nextMove: 0 }
}

/**
 * Makes room for a merge: moves some rows if rows move, or creates new slots if too many are used.
 *
 * @param rowCount Number of rows that are not dropped.
 */
export function makeRoom(growing: GrowingSlots, rowCount: number, minLoad: number): void {
  const { slots, oldSlots } = growing
  if (oldSlots !== null) {
    moveRows(growing, oldSlots, minLoad)
  } else if (slots.used >= MAX_LOAD_FACTOR * slots.capacity) {
    const isFull = rowCount >= MIN_GROWTH_FACTOR * slots.capacity
    growing.oldSlots = slots
    growing.nextMove = 0
    growing.slots = createSlots(isFull ? 2 * slots.capacity : slots.capacity)
  }
}

/**
 * Returns the slot of a fingerprint, or the free slot to insert it into. If the row is in an old slot, it moves first.
 */
export function findSlot(
  { slots, oldSlots }: GrowingSlots,
  low: number,
  high: number,
  minLoad: number,
): number {
  const slot = slotOf(slots, low, high)
  if (oldSlots === null || !isFree(slots, slot)) return slot
  const oldSlot = slotOf(oldSlots, low, high)
  if (hasRow(oldSlots, oldSlot, minLoad)) copyRow(oldSlots, oldSlot, slots)
  return slot
}

function moveRows(growing: GrowingSlots, oldSlots: Slots, minLoad: number): void {
  const end = Math.min(growing.nextMove + MOVES_PER_MERGE, oldSlots.capacity)
  for (let slot = growing.nextMove; slot < end; slot++) {
    if (hasRow(oldSlots, slot, minLoad)) copyRow(oldSlots, slot, growing.slots)
  }
  growing.nextMove = end
  if (end === oldSlots.capacity) growing.oldSlots = null
}
