import type { Advances } from './fold.js'
import type { Instant } from './instant.js'

/** The rows that result from a number of entries. */
export interface Batch extends Advances {
  unattributable: Unattributable[]
}

/** An entry of a logout type that cannot be used. */
export interface Unattributable {
  /** The log id of the entry; empty if it has none. */
  logId: string
  reason: string
  /** The entry as JSON. */
  entry: string
}

/** A page of entries, as the store receives it. */
export interface StoredPage {
  /** The checkpoint that the page was read from. */
  from: string
  /** The checkpoint to continue from. */
  next: string
  /** Storage time of the last entry; `null` if unknown. */
  storedAt: Instant | null
  batch: Batch
}
