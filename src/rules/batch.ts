import type { Advances } from './fold.js'
import type { Instant } from './instant.js'

/** The result of reading a number of entries, ready to be stored. */
export interface Batch extends Advances {
  unattributable: Unattributable[]
}

/** An entry of a logout type that cannot be used. */
export interface Unattributable {
  /** Empty if the entry has none. */
  logId: string
  reason: string
  /** The entry as JSON. */
  entry: string
}

/** A page to be stored. */
export interface StoredPage {
  /** The checkpoint that the page was read from. */
  from: string
  /** The checkpoint to continue from. */
  next: string
  /** Storage time of the last entry; `null` if unknown. */
  storedAt: Instant | null
  batch: Batch
}
