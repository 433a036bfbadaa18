import {
  copyRow,
  createSlots,
  hasRow,
  isFree,
  type Slots,
  slotOf,
  slotOfRow,
} from './table-slots.js'

/** Number of slots of an empty table. All capacities are powers of two. */
const INITIAL_CAPACITY = 1_024
/** If at least this share of the slots is used, the rows move into new slots. */
const MAX_LOAD_FACTOR = 0.6
/** If the rows need at least this share of the slots, there are twice as many new slots. */
const MIN_GROWTH_FACTOR = 0.5
/**
 * Number of old slots whose rows each search moves. Moving all rows of a large table at once would block the event loop.
 * All rows must have moved before the new slots are used to {@link MAX_LOAD_FACTOR}. At the same capacity, the rows use
 * less than {@link MIN_GROWTH_FACTOR} of the new slots at first, so this number must be greater than 10.
 */
const MOVES_PER_SEARCH = 32

/** The slots of a table. While `oldSlots` is not `null`, rows move from there to `slots`. */
export interface GrowingSlots {
  slots: Slots
  oldSlots: Slots | null
  /** The first old slot whose row has not moved. */
  nextMove: number
}

/** Creates the slots of an empty table. */
export function createGrowingSlots(): GrowingSlots {
  return { slots: createSlots(INITIAL_CAPACITY), oldSlots: null, nextMove: 0 }
}

/**
 * Creates new slots if too many are used. Call this function before the search for the slot of a new row.
 *
 * @param rowCount Number of rows that are not dropped.
 * @throws `RangeError` if the memory is not sufficient. The slots are then unchanged.
 */
export function makeRoom(growing: GrowingSlots, rowCount: number): void {
  const { slots, oldSlots } = growing
  if (oldSlots !== null || slots.used < MAX_LOAD_FACTOR * slots.capacity) return
  const mustDouble = rowCount >= MIN_GROWTH_FACTOR * slots.capacity
  growing.slots = createSlots(mustDouble ? 2 * slots.capacity : slots.capacity)
  growing.oldSlots = slots
  growing.nextMove = 0
}

/**
 * Searches for a fingerprint. Returns the slot of its row, or the free slot to insert it into. Also moves some rows. The
 * slots of all rows in `slots` remain valid.
 */
export function findSlot(
  growing: GrowingSlots,
  low: number,
  high: number,
  minLoad: number,
): number {
  if (growing.oldSlots !== null) moveRows(growing, growing.oldSlots, minLoad)
  const { slots, oldSlots } = growing
  const slot = slotOf(slots, low, high)
  if (oldSlots === null || !isFree(slots, slot)) return slot
  const oldSlot = slotOf(oldSlots, low, high)
  if (hasRow(oldSlots, oldSlot, minLoad)) copyRow(oldSlots, oldSlot, slots, slot)
  return slot
}

function moveRows(growing: GrowingSlots, oldSlots: Slots, minLoad: number): void {
  const { slots } = growing
  const end = Math.min(growing.nextMove + MOVES_PER_SEARCH, oldSlots.capacity)
  for (let oldSlot = growing.nextMove; oldSlot < end; oldSlot++) {
    if (!hasRow(oldSlots, oldSlot, minLoad)) continue
    const slot = slotOfRow(slots, oldSlots, oldSlot)
    // A row that has been found before has moved, and may have been updated.
    if (isFree(slots, slot)) copyRow(oldSlots, oldSlot, slots, slot)
  }
  growing.nextMove = end
  if (end === oldSlots.capacity) growing.oldSlots = null
}
