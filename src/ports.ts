import type { Advances } from './rules/fold.js'
import type { Instant } from './rules/instant.js'
import type { KnownLogouts } from './rules/judge.js'
import type { Progress } from './rules/progress.js'
import type { Gap, RecordedGap, Span } from './rules/span.js'

/** The most entries that the Logs API gives in one answer. */
export const PAGE_SIZE = 100

/** One answer of the Logs API that continues from a log id. */
export interface Page {
  entries: unknown[]
  /** The log id to continue from; that of the question where `entries` is empty. */
  next: string
  /** When Auth0 began to answer, by its own clock. */
  askedAt: Instant
}

/** One answer of the Logs API to a search. */
export interface SearchPage {
  entries: unknown[]
  askedAt: Instant
}

/** Which entries to search for. */
export interface Search {
  types: readonly string[]
  span: Span
  /** The tenant's log id prefix. */
  prefix: string
  /** Counted from 0. */
  page: number
}

/** Where entries come from: the tenant log. */
export interface LogSource {
  /** At most `PAGE_SIZE` entries stored after `from`, in log-id order; none at the end of the log. */
  readPage(from: string, signal: AbortSignal): Promise<Page>
  /** At most `PAGE_SIZE` entries. */
  search(search: Search, signal: AbortSignal): Promise<SearchPage>
  /** The entry of the latest date that is retained, if any. */
  readNewest(signal: AbortSignal): Promise<SearchPage>
  /** Of what is retained, the entries of the earliest dates; at most `PAGE_SIZE`. */
  readOldest(signal: AbortSignal): Promise<SearchPage>
}

/** What a number of entries come to, ready to be stored. */
export interface Batch extends Advances {
  unattributable: Unattributable[]
}

/** An entry that may be a logout and cannot be used. */
export interface Unattributable {
  /** Empty where the entry has none. */
  logId: string
  reason: string
  /** The entry as JSON. */
  entry: string
}

/** A page as it is stored. */
export interface StoredPage {
  /** The checkpoint that the page was read from. */
  from: string
  /** The checkpoint to continue from. */
  next: string
  /** Storage time of the page's last entry; `null` where it has none. */
  storedAt: Instant | null
  batch: Batch
}

/** Where a stored instant comes from. */
interface Origin {
  /** Empty where it comes from no entry. */
  logId: string
  type: string
}

/** A user's last logout, with what is needed to judge a token, as of one moment. */
export interface Known extends KnownLogouts {
  user: (NonNullable<KnownLogouts['user']> & Origin) | null
  session: (NonNullable<KnownLogouts['session']> & Origin) | null
  asOf: Instant | null
  /** When this was read, by the clock of the database. */
  now: Instant
  /** Nothing that could concern a living token is known to be missing. */
  complete: boolean
}

/** One row of the change feed, as it is now. */
export type Change =
  | { kind: 'user'; userId: string; at: Instant; allSessionsAt: Instant | null; type: string }
  | {
      kind: 'session'
      sessionId: string
      userId: string | null
      at: Instant
      ended: boolean
      type: string
    }
  | { kind: 'floor'; at: Instant }

/** Which changes to read. */
export interface ChangesQuery {
  /** The cursor to continue from; `null`: from the beginning. */
  after: string | null
  /** Leaves out what last changed before it; `null`: nothing. */
  since: Instant | null
  limit: number
}

/** Changes in the order of their commits. */
export interface ChangesPage {
  changes: Change[]
  /** Where to continue. */
  cursor: string
  /** `null` also while there is more: what is said to be known must have been delivered. */
  asOf: Instant | null
  /** When this was read, by the clock of the database. */
  now: Instant
  more: boolean
}

/** What `status` counts. */
export interface Counts {
  users: number
  sessions: number
  /** By reason; those that came beyond the kept ones count each time they are read. */
  unattributable: Record<string, number>
  gaps: number
  /** Rows that reconciling has moved forward, and polling had missed. */
  reconciled: number
}

/** What `prune` has deleted. */
export interface Pruned {
  sessions: number
  unattributable: number
}

/** A logout that no entry tells of. */
export interface ReportedLogout {
  userId: string
  /** `null`: all of the user's sessions. */
  sessionId: string | null
  /** `null`: now, by the clock of the database. */
  at: Instant | null
  type: string
}

/** Where last logouts are kept. Every instant in it only ever moves forward. */
export interface LastLogoutStore {
  /** Takes the database for this tenant; refuses one that serves another. */
  claim(): Promise<void>
  readProgress(): Promise<Progress>
  /** Takes the right to poll for `ttlMs`; false while another holds it. Renews one's own. */
  acquireLease(owner: string, ttlMs: number): Promise<boolean>
  releaseLease(owner: string): Promise<void>
  /** Fixes where the log is read from. Does nothing if that has been done. */
  begin(checkpoint: string, sweep: Span | null): Promise<void>
  /** Continues from another place; false, and nothing changed, when the checkpoint is not `from`. */
  moveCheckpoint(from: string, to: string | null, sweep: Span | null): Promise<boolean>
  /**
   * False, and nothing stored, when the checkpoint is not `page.from`. Throws `CLOCK_AHEAD` where `storedAt` lies
   * too far ahead of the database's clock: the rows are stored then, and the checkpoint stays.
   */
  storePage(page: StoredPage): Promise<boolean>
  /** Stores what the newest part of the sweep found; false when that is not its newest part any more. */
  storeSweep(batch: Batch, part: Span): Promise<boolean>
  /** Stores what came beside the checkpoint. Returns how many rows moved forward. */
  storeBatch(batch: Batch): Promise<number>
  /** The same for what reconciling found, which is counted. */
  storeReconciled(batch: Batch): Promise<number>
  /** Says that what was visible at `at` has been reconciled. */
  finishReconcile(at: Instant): Promise<void>
  /** Records a gap; one that begins where another does is the same, grown. True: new, or grown. */
  storeGap(gap: Gap, raisesFloor: boolean): Promise<boolean>
  /**
   * Only what the report says: whether the session has ended, Auth0 alone knows. Returns when the logout
   * counts as having happened; `null`, and nothing stored, where the report lies too far ahead.
   */
  storeReported(logout: ReportedLogout): Promise<Instant | null>
  /**
   * Raises the floor; `null`: to now, by the clock of the database. Returns the floor as it is then: it only
   * rises. Throws a `RangeError` on one in the future.
   */
  raiseFloor(at: Instant | null): Promise<Instant>
  /**
   * Records that the log has been read to its end. Freshness never goes back, but from ahead of the clock.
   * Throws `CLOCK_AHEAD` where `askedAt` itself lies too far ahead of the database's clock: it has not moved then.
   */
  storeCaughtUp(checkpoint: string | null, askedAt: Instant): Promise<void>
  readKnown(userId: string, sessionId: string | null): Promise<Known>
  /** `null`: the cursor is none of this feed, or ahead of it, as after a restore. */
  readChanges(query: ChangesQuery): Promise<ChangesPage | null>
  count(): Promise<Counts>
  /** The latest first. */
  readGaps(): Promise<RecordedGap[]>
  /**
   * Deletes sessions and unattributable entries that last changed longer than `retainMs` before now and
   * before `as_of`. `onBatch` runs before each statement; throwing ends the pruning.
   */
  prune(retainMs: number, onBatch?: () => void): Promise<Pruned>
}
