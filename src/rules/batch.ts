import type { LogoutRows } from './fold.js'
import type { Instant } from './instant.js'

/** The rows to store for a list of log entries. */
export interface Batch extends LogoutRows {
  unattributable: Unattributable[]
}

/** A log entry that may be a logout, but cannot be used. */
export interface Unattributable {
  /** The log id of the entry; empty if it has none. */
  logId: string
  reason: string
  /** The entry as JSON. */
  entry: string
}

/** A page of the log. Its rows and its checkpoint are stored in one transaction. A checkpoint is a log id. */
export interface PageToStore {
  /** The checkpoint that the page was read from. */
  from: string
  /** The checkpoint to continue from. */
  next: string
  /** When Auth0 stored the last entry; `null`: unknown. */
  storedAt: Instant | null
  batch: Batch
  /**
   * Whether this page is at the end of the log. If true, `storedAt` replaces an `as_of` that is `null`. Default: false.
   */
  endsCatchUp?: boolean
}
