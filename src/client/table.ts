import type { Instant } from '../rules/instant.js'
import type { Fingerprint } from './fingerprint.js'
import { createGrowingSlots, findSlot, makeRoom } from './growing-slots.js'
import {
  hasEnded,
  hasRow,
  instantOf,
  loadOf,
  writeFingerprint,
  writeLogout,
} from './table-slots.js'

/**
 * The greatest number of a load. After it, all loads have this number, so that no more rows are dropped. With a load
 * every hour, it is reached after a century. Before the first load, each attempt to connect begins a load, so it is
 * reached after three months if the service is unavailable for all this time.
 */
export const MAX_LOAD_NUMBER = 2 ** 20 - 1

/**
 * A hash table of logouts whose keys are fingerprints of ids. A row contains the instant of the last logout, whether the
 * session has ended, and the number of the load that has delivered the row last. A load is a reading of all rows from
 * the service.
 */
export interface Table {
  /** Begins a load. The following merges belong to this load. */
  beginLoad(): void
  /** Returns the position of a row; -1: the table has no such row. The position is valid until the next merge or drop. */
  find(id: Fingerprint): number
  /** Returns the instant of a row. */
  at(position: number): Instant
  /** Returns whether the session of a row has ended. */
  hasEnded(position: number): boolean
  /**
   * Inserts a row, or updates a row: the later instant remains, and a session that has ended stays ended. Marks the row
   * as delivered by the latest load.
   *
   * @param at From 0 to 2^43 - 1, which is in the year 2248.
   * @returns Whether the row is new, or its instant or its session has changed.
   */
  merge(id: Fingerprint, at: Instant, hasEnded: boolean): boolean
  /**
   * Drops the rows that the latest load has not delivered. Takes constant time. Their slots become free when the other
   * rows move into new slots. A table never becomes smaller.
   */
  dropUndelivered(): void
  /** Returns the number of rows. */
  count(): number
}

/**
 * Creates an empty table. It contains 64-bit fingerprints instead of ids. About one lookup in 10^13 finds the row of
 * another id with the same fingerprint. Such a row can only revoke a valid token. It cannot make a revoked token valid.
 *
 * For the greatest number of rows that it has had, a table takes 28 to 57 bytes a row, outside the JavaScript heap. While
 * rows move into new slots, it takes 85 bytes a row.
 *
 * With a million rows, a row takes 36 bytes (limit: 130), finding an id takes 0.27 µs, and growth blocks the event loop
 * for 2 ms. With a `Map` of objects, the figures are 141 bytes, 0.9 µs and 33 ms (`npm run bench:check`, Node.js 20).
 */
export function createTable(growing = createGrowingSlots()): Table {
  let loadNumber = 0
  /** Rows of earlier loads are dropped. */
  let minLoad = 0
  let rowCount = 0
  /** Number of rows that the latest load has delivered. */
  let deliveredCount = 0

  return {
    beginLoad() {
      if (loadNumber === MAX_LOAD_NUMBER) return
      loadNumber++
      deliveredCount = 0
    },
    find(id) {
      const slot = findSlot(growing, id[0] as number, id[1] as number, minLoad)
      return hasRow(growing.slots, slot, minLoad) ? slot : -1
    },
    at: (position) => instantOf(growing.slots, position),
    hasEnded: (position) => hasEnded(growing.slots, position),
    merge(id, at, ended) {
      makeRoom(growing, rowCount)
      const [low, high] = [id[0] as number, id[1] as number]
      const slot = findSlot(growing, low, high, minLoad)
      const { slots } = growing
      if (hasRow(slots, slot, minLoad)) {
        if (loadOf(slots, slot) < loadNumber) deliveredCount++
        const oldAt = instantOf(slots, slot)
        const oldEnded = hasEnded(slots, slot)
        writeLogout(slots, slot, Math.max(oldAt, at), oldEnded || ended, loadNumber)
        return at > oldAt || (ended && !oldEnded)
      }
      rowCount++
      deliveredCount++
      writeFingerprint(slots, slot, low, high)
      writeLogout(slots, slot, at, ended, loadNumber)
      return true
    },
    dropUndelivered() {
      minLoad = loadNumber
      rowCount = deliveredCount
    },
    count: () => rowCount,
  }
}
