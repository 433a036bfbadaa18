import { abortedError, LastLogoutError } from '../errors.js'
import type { Batch } from '../rules/batch.js'
import { readLogId } from '../rules/entry.js'
import { HOUR_MS, type Instant, toDateTime } from '../rules/instant.js'
import { storageTimeOf } from '../rules/log-id.js'
import type { Span } from '../rules/span.js'
import type { SyncDeps } from './catch-up.js'
import { readEntries, toBatch } from './read-batch.js'

/** Maximum number of entries that Auth0 returns for one search. */
const MAX_SEARCH_ENTRIES = 1_000

/** Maximum number of pages of one search. */
const MAX_SEARCH_PAGES = 10

/** If a part of the span has fewer entries than this, the next part is wider. */
const SPARSE_ENTRIES = MAX_SEARCH_ENTRIES / 4

/** Options of a sweep. */
export interface SweepOptions {
  /** Label in progress reports. */
  stage: 'sweep' | 'outage' | 'reconcile'
  /** The span of storage time to search. */
  span: Span
  /** The prefix of the tenant's log ids. */
  prefix: string
  /** Stores the logout events of a part of the span. If `store` returns `false`, the sweep ends. */
  store(batch: Batch, part: Span): Promise<unknown>
  /** Called before each request. Does work that must not wait for the end of the sweep. */
  beforeRequest(): Promise<unknown>
}

/**
 * Searches for the logout events that Auth0 stored in a span of time, and begins with the newest. Divides the span into
 * parts. If a part has more entries than one search returns, makes the part smaller.
 *
 * @throws `AUTH0_MALFORMED_PAGE` if Auth0 does not respect the span of a search, or if a part cannot be split.
 */
export async function sweep(
  deps: SyncDeps,
  options: SweepOptions,
  signal: AbortSignal,
): Promise<void> {
  let widthMs = HOUR_MS
  for (let remaining: Span | null = options.span; remaining !== null; ) {
    const { from, to }: Span = remaining
    const part: Span = { from: Math.max(from, to - widthMs), to }
    const { entries, pages, isCapped } = await search(deps, part, options, signal)
    if (isCapped) {
      widthMs = narrowWidthMs(part, entries)
      continue
    }
    remaining = part.from > from ? { from, to: part.from } : null
    const readResult = readEntries(entries, deps.types)
    const isStored = (await options.store(toBatch([readResult]), part)) !== false
    const { stage } = options
    const reachedAt = part.from
    deps.onProgress?.({
      stage,
      pages,
      entries: entries.length,
      events: readResult.events.length,
      reachedAt,
    })
    if (!isStored) return
    if (entries.length < SPARSE_ENTRIES) widthMs *= 4
  }
}

/** The result of the search of one part. */
interface SearchResult {
  entries: unknown[]
  pages: number
  requestedAt: Instant
  /** Whether the search returned the maximum number of entries. The part can then have more entries. */
  isCapped: boolean
}

/** Reads pages until a page is empty. Auth0 does not document that a page with few entries is the last page. */
async function search(
  { source, types }: SyncDeps,
  span: Span,
  { prefix, beforeRequest }: SweepOptions,
  signal: AbortSignal,
): Promise<SearchResult> {
  const entries: unknown[] = []
  for (let page = 0; ; page++) {
    await beforeRequest()
    if (signal.aborted) throw abortedError()
    const response = await source.search({ types: [...types], span, prefix, page }, signal)
    entries.push(...response.entries)
    const [isLast, pages] = [response.entries.length === 0, page + 1]
    if (isLast || pages === MAX_SEARCH_PAGES) {
      return { entries, pages, requestedAt: response.requestedAt, isCapped: !isLast }
    }
  }
}

/**
 * Returns a smaller width for a part that has too many entries, in milliseconds. The new part is at most half as wide
 * as the span, and contains fewer than half of `entries`.
 *
 * @throws `AUTH0_MALFORMED_PAGE` if an entry is outside the span, or if the span cannot be split.
 */
function narrowWidthMs({ from, to }: Span, entries: unknown[]): number {
  const storedAts = entries
    .flatMap((entry) => storageTimeOf(readLogId(entry)) ?? [])
    .sort((a, b) => a - b)
  const median = storedAts[Math.floor(storedAts.length / 2)]
  const isOutside = (at: Instant) => at < from || at >= to
  if (median === undefined || storedAts.some(isOutside) || to - from <= 1) {
    throw new LastLogoutError(
      'AUTH0_MALFORMED_PAGE',
      `The search for logout events from ${toDateTime(from)} to ${toDateTime(to)} returned ${MAX_SEARCH_ENTRIES}, the maximum of one search. ` +
        'The span of the search cannot be split: Auth0 ignores log_id in the search, or stored that many entries in one millisecond. ' +
        'Report this with the version of last-logout.',
    )
  }
  return Math.min(Math.ceil((to - from) / 2), Math.max(1, to - median - 1))
}
