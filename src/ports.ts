import type { Batch, PageToStore } from './rules/batch.js'
import type { ChangesPage, ChangesQuery } from './rules/change-feed.js'
import type { ForgottenPerson } from './rules/forgotten-person.js'
import type { Gap, RecordedGap } from './rules/gap.js'
import type { Instant } from './rules/instant.js'
import type { LogoutSnapshot } from './rules/logout-snapshot.js'
import type { Progress } from './rules/progress.js'
import type { ReportedLogout } from './rules/reported.js'
import type { Span } from './rules/span.js'

/** Maximum number of entries in a response of the Logs API. */
export const PAGE_SIZE = 100

/** A response of the Logs API to a search. */
export interface SearchPage {
  entries: unknown[]
  /** When the request began, by Auth0's clock. */
  requestedAt: Instant
}

/** A response of the Logs API to a request for the entries after a log id. */
export interface Page extends SearchPage {
  /** The log id to continue from. If `entries` is empty, `next` is the log id that the request contained. */
  next: string
}

/** A search for entries of some types in a span of storage time, the time at which Auth0 stored an entry. */
export interface Search {
  types: readonly string[]
  span: Span
  /** The prefix of the tenant's log ids. */
  prefix: string
  /** Page number, from 0. */
  page: number
}

/**
 * The log of an Auth0 tenant. Every method retries transient errors before it throws. Besides the errors in its own
 * docstring, every method can throw:
 *
 * @throws AUTH0_CREDENTIALS when Auth0 refuses the client credentials.
 * @throws AUTH0_SCOPE when the token lacks a scope.
 * @throws AUTH0_RATE_LIMIT when the rate limit of the tenant is exhausted.
 * @throws AUTH0_UNAVAILABLE when Auth0 is unreachable, times out or responds with an unexpected status.
 * @throws AUTH0_MALFORMED_PAGE when the response is not a page of entries.
 * @throws ABORTED when `signal` aborts.
 */
export interface LogSource {
  /**
   * Reads up to `PAGE_SIZE` entries that Auth0 stored after the entry `from`, in the order of log ids. At the end of
   * the log, the page has no entries.
   *
   * @throws AUTH0_CHECKPOINT_REFUSED when Auth0 does not accept `from`.
   */
  readPage(from: string, signal: AbortSignal): Promise<Page>
  /**
   * Reads up to `PAGE_SIZE` matching entries.
   *
   * @throws AUTH0_REFUSED when Auth0 does not accept the search.
   */
  search(search: Search, signal: AbortSignal): Promise<SearchPage>
  /** Reads the entry with the latest date. The page is empty if the log is empty. */
  readNewest(signal: AbortSignal): Promise<SearchPage>
  /** Reads up to `PAGE_SIZE` entries with the earliest dates. */
  readOldest(signal: AbortSignal): Promise<SearchPage>
  /**
   * Waits until the rate limit allows a search that does not delay the next catch-up. Returns false if it still does
   * not after `maxWaitMs`.
   */
  awaitSpareBudget(maxWaitMs: number, signal: AbortSignal): Promise<boolean>
}

/** Numbers of stored rows. */
export interface RowCounts {
  users: number
  sessions: number
  /**
   * Number of unattributable entries by reason. Only a limited number of them is stored each day. A stored entry counts
   * once. An entry beyond the limit counts each time it is read.
   */
  unattributable: Record<string, number>
  gaps: number
  /** Number of rows that got a later logout from a reconcile, a search for entries that became visible late. */
  reconciled: number
}

/** Numbers of rows that `prune` deleted. */
export interface PrunedRows {
  sessions: number
  unattributable: number
  /** Rows of forgotten people. */
  forgotten: number
}

/**
 * The storage of a tenant's last logouts, and of how far its log has been read: the checkpoint (the log id to continue
 * from) and `as_of` (the time up to which the log is read). Only a later logout replaces a stored one: the row then
 * moves forward.
 *
 * Besides the errors in its own docstring, every method can throw:
 *
 * @throws DATABASE_UNAVAILABLE when PostgreSQL is unavailable, or the store is not open yet.
 * @throws DATABASE_NOT_MIGRATED when the tenant row is missing. `claim` creates this row.
 */
export interface LastLogoutStore {
  /**
   * Claims the database. By default, takes a database without data from another tenant. Returns the id of the database.
   *
   * @throws OTHER_TENANT when the database belongs to another tenant.
   */
  claim(options?: { replacesUnused?: boolean }): Promise<string>
  /** Reads how far the log has been read. */
  readProgress(): Promise<Progress>
  /**
   * Acquires or renews the polling lease, the exclusive right to poll, for `ttlMs`. Returns how far the log has been
   * read, or `null` if another owner holds the lease.
   */
  acquireLease(owner: string, ttlMs: number): Promise<Progress | null>
  /** Releases the polling lease, if `owner` holds it. */
  releaseLease(owner: string): Promise<void>
  /**
   * Sets the first checkpoint, and the sweep: the span of storage time that must still be searched for logouts from
   * before the first start. `reconciled_to` becomes `startedAt`, when reading of the log began, unless it has a value.
   * Does nothing if a checkpoint is already set.
   */
  setFirstCheckpoint(checkpoint: string, sweep: Span | null, startedAt?: Instant): Promise<void>
  /**
   * Replaces the checkpoint `from` by `to`, and the sweep by `sweep`. A `to` of `null` removes the checkpoint, because the
   * log is empty. Returns false and changes nothing if the stored checkpoint is not `from`.
   */
  moveCheckpoint(from: string, to: string | null, sweep: Span | null): Promise<boolean>
  /**
   * Stores a page and moves the checkpoint. Also moves `as_of` to `page.storedAt`, unless `as_of` is still unknown.
   * Returns false and changes nothing if the stored checkpoint is not `page.from`.
   *
   * @throws CLOCK_AHEAD when `page.storedAt` is too far ahead of the database's clock. The rows are stored, but the
   *   checkpoint does not move.
   */
  storePage(page: PageToStore): Promise<boolean>
  /**
   * Stores `batch`, the entries that were found in `part`, the newest part of the remaining sweep. Removes `part` from the
   * sweep. If the sweep does not end where `part` ends, stores `batch` but does not change the sweep, and returns false.
   */
  storeSweep(batch: Batch, part: Span): Promise<boolean>
  /** Stores entries without moving the checkpoint. Returns the number of rows that moved forward. */
  storeBatch(batch: Batch): Promise<number>
  /**
   * Stores entries that a reconcile found. Like `storeBatch`, but also counts the rows that moved forward as
   * reconciled.
   */
  storeReconciled(batch: Batch): Promise<number>
  /** Records that a reconcile has read all entries that were visible at `at`. */
  finishReconcile(at: Instant): Promise<void>
  /**
   * Stores a gap, a span of the log that was deleted before it was read. If a stored gap has the same beginning,
   * extends that gap instead. If `raisesFloor` is true, raises the floor (see `raiseFloor`) to the end of the gap.
   * Returns whether a gap was added or extended.
   */
  storeGap(gap: Gap, raisesFloor: boolean): Promise<boolean>
  /**
   * Stores a reported logout. Does not mark the session as ended, because only Auth0 can report the end of a session.
   * Returns the stored instant. If the reported instant is too far in the future, changes nothing and returns `null`.
   */
  storeReported(logout: ReportedLogout): Promise<Instant | null>
  /**
   * Raises the floor, the instant that revokes all older logins, to `at`. `null` means now by the database's clock. The
   * floor never falls. Returns the resulting floor.
   *
   * @throws RangeError when `at` is in the future.
   */
  raiseFloor(at: Instant | null): Promise<Instant>
  /**
   * Records that the log has been read to its end, and returns the resulting progress. If the stored checkpoint is not
   * `checkpoint`, changes nothing and returns `null`. `as_of` moves back only if the stored `as_of` is too far ahead of
   * the database's clock.
   *
   * @throws CLOCK_AHEAD when `requestedAt` is too far ahead of the database's clock. Then `as_of` does not advance.
   */
  storeCaughtUp(checkpoint: string | null, requestedAt: Instant): Promise<Progress | null>
  /** Reads the known logouts of a user and of a session, and the floor. A `sessionId` of `null` means no session. */
  readKnownLogouts(userId: string, sessionId: string | null): Promise<LogoutSnapshot>
  /**
   * Reads a page of the change feed. Returns `null` if the cursor belongs to another feed. Also returns `null` if the
   * cursor is ahead of the end of this feed, which happens after a backup was restored.
   */
  readChanges(query: ChangesQuery): Promise<ChangesPage | null>
  /** Counts the rows of each kind. */
  count(): Promise<RowCounts>
  /** Reads all gaps, the latest first. */
  readGaps(): Promise<RecordedGap[]>
  /** Replaces the ids of a person by keyed hashes. The person's logouts keep their effect. */
  forget(userId: string): Promise<ForgottenPerson>
  /**
   * Deletes sessions and unattributable entries whose last change is older than `retainMs`. Their age is measured at
   * `as_of`, or at the current time of the database's clock if `as_of` is later. Also deletes rows of forgotten people
   * that cannot concern a valid token. Calls `onBatch` before each statement. An error that `onBatch` throws aborts the
   * operation.
   */
  prune(retainMs: number, onBatch?: () => void): Promise<PrunedRows>
}
