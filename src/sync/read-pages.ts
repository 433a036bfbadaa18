import { type LogSource, PAGE_SIZE, type Page } from '../ports.js'
import { readLogId } from '../rules/entry.js'
import { isAhead } from '../rules/freshness.js'
import type { Instant } from '../rules/instant.js'
import { storageTimeOf } from '../rules/log-id.js'
import { readAhead } from './read-ahead.js'
import { type Reading, readEntries } from './read-batch.js'

/** A catch-up that has taken longer than this, in milliseconds, may end at a full page, although more entries follow. */
const LONG_CATCH_UP_MS = 60_000

/**
 * A catch-up may end at a page that is not empty if the last entry was stored at most this long before the catch-up began,
 * in milliseconds. `as_of` is then at most this much older than after an empty page.
 */
const MAX_END_AGE_MS = 1_000

/** Maximum number of pages that were read and are not being stored yet. */
const MAX_PAGES_AHEAD = 8

/**
 * How long pages are gathered before they are stored together, in milliseconds. To store a page alone costs as much CPU time
 * as to read it, but three times as much as to store it with seven others.
 */
const GATHER_MS = 10

/** Maximum time between the requests of two pages that are stored together, in milliseconds. */
const MAX_GROUP_MS = 10_000

/** A page that was read and is not stored yet. */
export interface ReadPage extends Reading {
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
  /** Whether the catch-up ends at this page: the page is empty, or see {@link canEndAt}. */
  isLast: boolean
}

/** Pages that are read ahead. */
interface PagesAhead {
  /** Waits for the next page. Returns it with those that were read shortly after it. Returns nothing after the last page. */
  take(): Promise<ReadPage[]>
  /** Allows to request more pages after the first one. */
  proceed(): void
}

/** Reads the pages from a checkpoint to the end of the log. */
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
  let rest: ReadPage[] = []
  return {
    proceed() {
      isChecked = true
      check()
    },
    async take() {
      const pages = rest.length > 0 ? rest : await ahead.take(isChecked ? GATHER_MS : 0)
      const [first] = pages
      // If the machine slept between two pages, the pages before that are stored first.
      const isFar = (page: ReadPage) => page.requestedAt - (first?.requestedAt ?? 0) > MAX_GROUP_MS
      const end = pages.findIndex(isFar)
      rest = end === -1 ? [] : pages.slice(end)
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
 * Whether the catch-up may end at this page, although it is not empty. A busy tenant stores an entry between any two
 * requests, so an empty page may never come.
 *
 * A short page does not prove that no entry follows. So `as_of` becomes the storage time of the last entry, which is
 * correct whatever follows: entries arrive in the order of their storage times. If entries do follow, the next poll reads
 * them. If the last entry is older than {@link MAX_END_AGE_MS}, reading continues.
 */
function canEndAt({ entries, requestedAt }: Page, beganAt: Instant): boolean {
  if (entries.length >= PAGE_SIZE && requestedAt - beganAt < LONG_CATCH_UP_MS) return false
  const storedAt = storageTimeOf(readLogId(entries.at(-1)))
  // If Auth0 changes the layout of log ids, a log id can yield any time.
  return (
    storedAt !== null && storedAt >= beganAt - MAX_END_AGE_MS && !isAhead(storedAt, requestedAt)
  )
}

/**
 * Returns the storage time of the last entry, but not later than the request: if Auth0 changes the layout of log ids, a
 * log id can yield any time.
 */
function readReached({ entries, requestedAt }: Page): Instant | null {
  const storedAt = storageTimeOf(readLogId(entries.at(-1)))
  return storedAt === null ? null : Math.min(storedAt, requestedAt)
}
