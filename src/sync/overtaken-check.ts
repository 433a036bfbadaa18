import {
  canBeDeleted,
  findOvertaken,
  GAP_CHECK_THRESHOLD_MS,
  type RetainedLog,
} from '../rules/gap.js'
import { type Instant, later } from '../rules/instant.js'
import type { Progress } from '../rules/progress.js'
import type { SyncDeps } from './catch-up.js'
import { type GapOptions, recordGap } from './gaps.js'
import type { ReadPage } from './read-pages.js'

/** Checks whether Auth0 deletes the log faster than a catch-up reads it. */
export interface OvertakenCheck {
  /**
   * Sends a request for the oldest entry of the log if a minute has passed since the last check, or if `page` is the
   * last page. If Auth0 has deleted entries, records a gap. Sends no request while the log can still contain all
   * entries after the position of the last check.
   */
  check(page: ReadPage): Promise<void>
  /** Call this after another check for a gap. All entries before `at` were read, or are in a gap. */
  continueFrom(at: Instant | null, page: ReadPage): void
  /** Call this after a search of the entries from the position of the last check to `to`. */
  markSearched(to: Instant): void
}

/** @param progress How far the log had been read before the catch-up. */
export function createOvertakenCheck(
  deps: SyncDeps,
  progress: Progress,
  options: GapOptions,
  signal: AbortSignal,
): OvertakenCheck {
  /** Position of the last check. All entries before it were read or searched, or are in a gap. */
  let readTo: Instant | null = null
  let searchedTo: Instant | null = null
  let dueAt = 0
  /** Beginning of the gap of this catch-up. Later checks extend this gap. */
  let gapFrom: Instant | null = null

  function continueFrom(at: Instant | null, { requestedAt, reachedAt }: ReadPage): void {
    readTo = later(later(readTo, at), reachedAt)
    dueAt = requestedAt + GAP_CHECK_THRESHOLD_MS
  }

  return {
    continueFrom,
    markSearched(to) {
      // Auth0 can have deleted entries while they were searched, so they are checked before the next page.
      if (searchedTo === null) dueAt = 0
      searchedTo = to
    },
    async check(page) {
      if (readTo === null) return continueFrom(null, page)
      if (page.requestedAt <= dueAt && !page.isLast) return
      let accountedTo = later(readTo, searchedTo)
      if (canBeDeleted(readTo, page.requestedAt)) {
        const from = gapFrom ?? readTo
        const unread = { from, readTo }
        const find = (retained: RetainedLog) => findOvertaken(unread, retained)
        const retained = await recordGap(
          deps,
          { ...options, progress, firstAt: null, find },
          signal,
        )
        if (find(retained) !== null) gapFrom = from
        accountedTo = later(accountedTo, retained.oldestAt)
      }
      continueFrom(accountedTo, page)
    },
  }
}
