import type { Instant } from '../rules/instant.js'
import type { Fingerprint } from './fingerprint.js'
import {
  countRows,
  createSegment,
  hasEnded,
  hasRow,
  instantOf,
  rebuild,
  type Segment,
  slotOf,
  writeFingerprint,
  writeLogout,
} from './table-segment.js'

/**
 * Number of bits of a fingerprint that determine the segment of the row. Each segment grows separately, because copying
 * all rows of a large table at once would block the event loop.
 */
const SEGMENT_BITS = 6
const SEGMENTS = 2 ** SEGMENT_BITS
/** Capacity of an empty segment. All capacities are powers of two. */
const INITIAL_CAPACITY = 16
/**
 * If more than this share of the slots is used, the segment is rebuilt. The share depends on the segment, because all
 * segments have about the same number of rows, and should not grow at the same time.
 */
const MIN_LOAD_FACTOR = 0.55
const MAX_LOAD_FACTOR = 0.65
/**
 * The greatest number of a load. A client that has reached it must keep this number for all further loads. Then no more
 * rows are dropped. With a load every hour, this takes a century. Before the first load, each attempt to connect begins a
 * load, so this takes three months if the service is unavailable for all this time.
 */
export const MAX_LOAD_NUMBER = 2 ** 20 - 1

/**
 * A hash table of logouts whose keys are fingerprints of ids. A row contains the instant of the last logout, whether the
 * session has ended, and the number of the load that has delivered the row last. A load is a reading of all rows from
 * the service.
 */
export interface Table {
  /** Returns the position of a row; -1: the table has no such row. The position is valid until the next change. */
  find(id: Fingerprint): number
  /** Returns the instant of a row. */
  at(position: number): Instant
  /** Returns whether the session of a row has ended. */
  hasEnded(position: number): boolean
  /**
   * Inserts a row, or updates a row: the later instant remains, and a session that has ended stays ended. Marks the row
   * as delivered by load `loadNumber`.
   *
   * @param at From 0 to 2^43 - 1, which is in the year 2248.
   * @param loadNumber From 0 to {@link MAX_LOAD_NUMBER}.
   * @returns Whether the row is new, or its instant or its session has changed.
   */
  merge(id: Fingerprint, at: Instant, hasEnded: boolean, loadNumber: number): boolean
  /**
   * Drops the rows that neither load `loadNumber` nor a later load has delivered. Takes constant time. The memory of the
   * rows is freed when their segments are rebuilt.
   */
  dropBefore(loadNumber: number): void
  /** Counts the rows. Reads the whole table. */
  count(): number
}

/**
 * Creates an empty table. It contains 64-bit fingerprints instead of ids. A row takes 26 to 68 bytes, outside the
 * JavaScript heap. About one lookup in 10^13 finds the row of another id with the same fingerprint. Such a row can only
 * revoke a valid token. It cannot make a revoked token valid.
 *
 * With a million rows, a row takes 36 bytes (limit: 130), finding an id takes 0.56 µs, and growth blocks the event loop
 * for 3 ms. With a `Map` of objects, the figures are 141 bytes, 1.1 µs and 48 ms (`npm run bench:check`, Node.js 20).
 */
export function createTable(): Table {
  const segments = Array.from({ length: SEGMENTS }, () => createSegment(INITIAL_CAPACITY))
  /** Rows of earlier loads are dropped. */
  let minLoad = 0
  const segmentAt = (position: number) => segments[position & (SEGMENTS - 1)] as Segment

  return {
    find(id) {
      const index = indexOf(id)
      const segment = segmentAt(index)
      const slot = slotOf(segment, id[0] as number, id[1] as number)
      return hasRow(segment, slot, minLoad) ? (slot << SEGMENT_BITS) | index : -1
    },
    at: (position) => instantOf(segmentAt(position), position >>> SEGMENT_BITS),
    hasEnded: (position) => hasEnded(segmentAt(position), position >>> SEGMENT_BITS),
    merge(id, at, ended, loadNumber) {
      const [low, high] = [id[0] as number, id[1] as number]
      const index = indexOf(id)
      let segment = segmentAt(index)
      if (segment.used + 1 > loadFactorOf(index) * segment.capacity) {
        segment = rebuild(segment, minLoad)
        segments[index] = segment
      }
      const slot = slotOf(segment, low, high)
      if (hasRow(segment, slot, minLoad)) {
        const oldAt = instantOf(segment, slot)
        const oldEnded = hasEnded(segment, slot)
        writeLogout(segment, slot, Math.max(oldAt, at), oldEnded || ended, loadNumber)
        return at > oldAt || (ended && !oldEnded)
      }
      writeFingerprint(segment, slot, low, high)
      writeLogout(segment, slot, at, ended, loadNumber)
      return true
    },
    dropBefore(loadNumber) {
      minLoad = Math.max(minLoad, loadNumber)
    },
    count: () => segments.reduce((sum, segment) => sum + countRows(segment, minLoad), 0),
  }
}

/** Returns the segment of a fingerprint, by bits that determine neither its slot nor its tag. */
function indexOf(id: Fingerprint): number {
  return ((id[1] as number) >>> 8) & (SEGMENTS - 1)
}

/** Returns the share of used slots above which a segment is rebuilt. */
function loadFactorOf(index: number): number {
  return MIN_LOAD_FACTOR + ((MAX_LOAD_FACTOR - MIN_LOAD_FACTOR) * index) / SEGMENTS
}
