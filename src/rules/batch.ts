import type { LogoutRows } from './fold.js'
import type { Instant } from './instant.js'

/** The rows to store for a number of entries. */
export interface Batch extends LogoutRows {
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

/** A page of entries to store, together with its checkpoint. */
export interface PageToStore {
  /** The checkpoint that the page was read from. */
  from: string
  /** The checkpoint to continue from. */
  next: string
  /** Storage time of the last entry; `null` if unknown. */
  storedAt: Instant | null
  batch: Batch
  /** Whether the log has now been read up to `storedAt`, so that `as_of` is set even if it was `null`. Default: false. */
  endsCatchUp?: boolean
}
