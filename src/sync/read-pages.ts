import { type LogSource, PAGE_SIZE, type Page } from '../ports.js'
import { readLogId } from '../rules/entry.js'
import { isAhead } from '../rules/freshness.js'
import type { Instant } from '../rules/instant.js'
import { storageTimeOf } from '../rules/log-id.js'
import { readAhead } from './read-ahead.js'
import { type ReadEntries, readEntries } from './read-batch.js'

/** Limit in milliseconds. After this time, a catch-up may end at a full page, although more entries follow. */
const LONG_CATCH_UP_MS = 60_000

/**
 * Limit in milliseconds. A catch-up may end at a page with entries if Auth0 stored the last entry at most this time
 * before the catch-up began. `as_of`, the instant up to which the log has been read, is then the storage time of this
 * entry.
 */
const MAX_END_AGE_MS = 1_000

/** Maximum number of pages that were read and are waiting to be stored. */
const MAX_PAGES_AHEAD = 8

/**
 * How long to wait for further pages that can be stored in the same transaction, in milliseconds. A page that is stored
 * alone takes three times as much CPU time as a page that is stored with seven others.
 */
const GATHER_MS = 10

/** Maximum time between the requests of two pages that are stored together, in milliseconds. */
const MAX_GROUP_MS = 10_000

/** A page that was read and is not stored yet. */
export interface ReadPage extends ReadEntries {
  /** Number of entries. */
  entries: number
  /** The log id to continue from. */
  next: string
  /** When the page was requested, by Auth0's clock. */
  requestedAt: Instant
  /** When the response arrived, in milliseconds of a monotonic clock. */
  receivedAt: number
  /** Storage time of the first entry; `null`: the page is empty, or the entry has no storage time. */
  firstAt: Instant | null
  /** Storage time of the last entry; `null`: the page is empty, or the entry has no storage time. */
  reachedAt: Instant | null
  /** Whether the catch-up ends at this page: the page is empty, or {@link canEndAt} returns true. */
  isLast: boolean
}

/** Pages that are read ahead. */
interface PagesAhead {
  /**
   * Waits for a page, then returns all pages that have arrived and can be stored together. Returns an empty array after
   * the last page.
   */
  take(): Promise<ReadPage[]>
  /** Allows requests for further pages. Must be called when the caller has checked the first page. */
  proceed(): void
}

/**
 * Reads the pages from a checkpoint to the end of the log. The last page is an empty page, or a page for which
 * {@link canEndAt} returns true.
 */
export function readPages(
  checkpoint: string,
  { source, types }: { source: LogSource; types: ReadonlySet<string> },
  signal: AbortSignal,
): PagesAhead {
  let beganAt: Instant | null = null
  let isChecked = false
  let check = () => {}
  const whenChecked = new Promise<void>((resolve) => {
    check = resolve
  })
  const ahead = readAhead<ReadPage>(async (previous) => {
    if (previous?.isLast) return null
    if (previous !== null) await whenChecked
    const page = await source.readPage(previous?.next ?? checkpoint, signal)
    beganAt ??= page.requestedAt
    return toReadPage(page, types, beganAt)
  }, MAX_PAGES_AHEAD)
  let remaining: ReadPage[] = []
  return {
    proceed() {
      isChecked = true
      check()
    },
    async take() {
      const pages = remaining.length > 0 ? remaining : await ahead.take(isChecked ? GATHER_MS : 0)
      const firstAt = pages[0]?.requestedAt ?? 0
      // If the machine was suspended between two pages, the pages before the pause are stored first.
      const end = pages.findIndex((page) => page.requestedAt - firstAt > MAX_GROUP_MS)
      remaining = end === -1 ? [] : pages.slice(end)
      return end === -1 ? pages : pages.slice(0, end)
    },
  }
}

function toReadPage(page: Page, types: ReadonlySet<string>, beganAt: Instant): ReadPage {
  const { entries, next, requestedAt } = page
  return {
    ...readEntries(entries, types),
    entries: entries.length,
    next,
    requestedAt,
    receivedAt: performance.now(),
    firstAt: storageTimeOf(readLogId(entries[0])),
    reachedAt: readReached(page),
    isLast: entries.length === 0 || canEndAt(page, beganAt),
  }
}

/**
 * Whether the catch-up may end at a page with entries. In a busy tenant, no page is ever empty, because entries are
 * stored between any two requests.
 *
 * A page with fewer than {@link PAGE_SIZE} entries does not prove that no entry follows. So `as_of` becomes the storage
 * time of the last entry: all entries before it have been read. The next poll reads the entries that follow.
 */
function canEndAt({ entries, requestedAt }: Page, beganAt: Instant): boolean {
  if (entries.length >= PAGE_SIZE && requestedAt - beganAt < LONG_CATCH_UP_MS) return false
  const storedAt = storageTimeOf(readLogId(entries.at(-1)))
  // If Auth0 changes the layout of log ids, the storage time is wrong, and can be in the future.
  return (
    storedAt !== null && storedAt >= beganAt - MAX_END_AGE_MS && !isAhead(storedAt, requestedAt)
  )
}

/** Returns the storage time of the last entry, or the time of the request if that is earlier. */
function readReached({ entries, requestedAt }: Page): Instant | null {
  const storedAt = storageTimeOf(readLogId(entries.at(-1)))
  return storedAt === null ? null : Math.min(storedAt, requestedAt)
}
