import { aborted, LastLogoutError } from '../errors.js'
import type { Batch } from '../rules/batch.js'
import { readLogId } from '../rules/entry.js'
import { HOUR_MS, type Instant, toDateTime } from '../rules/instant.js'
import { storageTimeOf } from '../rules/log-id.js'
import type { Span } from '../rules/span.js'
import type { SyncDeps } from './catch-up.js'
import { readBatch } from './read-batch.js'

/** Auth0 returns at most this many entries for one search, on this many pages. */
const MAX_SEARCH_ENTRIES = 1_000
const MAX_SEARCH_PAGES = 10

/** After fewer entries than this, the next span is wider. */
const SPARSE_ENTRIES = MAX_SEARCH_ENTRIES / 4

/** What is searched, and where the result goes. */
export interface SweepOptions {
  /** Label in progress reports. */
  stage: 'sweep' | 'outage' | 'reconcile'
  span: Span
  /** The tenant's log id prefix. */
  prefix: string
  /** Stores the logout events of a part of the span. Returning false ends the sweep. */
  store(batch: Batch, part: Span): Promise<unknown>
  /** Runs before each request, for work that must not wait for the end of the sweep. */
  between(): Promise<unknown>
}

/**
 * Searches the logout events that were stored in a span, the newest first. The span is read in parts. A
 * part that holds more entries than one search returns is split.
 *
 * @throws `AUTH0_MALFORMED_PAGE` if Auth0 does not honour the span of a search.
 */
export async function sweep(
  deps: SyncDeps,
  options: SweepOptions,
  signal: AbortSignal,
): Promise<void> {
  let widthMs = HOUR_MS
  for (let rest: Span | null = options.span; rest !== null; ) {
    const part: Span = { from: Math.max(rest.from, rest.to - widthMs), to: rest.to }
    const found = await search(deps, part, options, signal)
    if (found.isCapped) {
      widthMs = narrow(part, found.entries)
      continue
    }
    rest = part.from > rest.from ? { from: rest.from, to: part.from } : null
    const { batch, events } = readBatch(found.entries, deps.types)
    const isStored = (await options.store(batch, part)) !== false
    const { entries, pages } = found
    const { stage } = options
    const reachedAt = part.from
    deps.onProgress?.({ stage, pages, entries: entries.length, events: events.length, reachedAt })
    if (!isStored) return
    if (found.entries.length < SPARSE_ENTRIES) widthMs *= 4
  }
}

interface Found {
  entries: unknown[]
  pages: number
  requestedAt: Instant
  /** The search reached its maximum: there can be more entries. */
  isCapped: boolean
}

/** Reads until an empty page: Auth0 does not document that only the last page is short. */
async function search(
  { source, types }: SyncDeps,
  span: Span,
  { prefix, between }: SweepOptions,
  signal: AbortSignal,
): Promise<Found> {
  const entries: unknown[] = []
  for (let page = 0; ; page++) {
    await between()
    if (signal.aborted) throw aborted()
    const response = await source.search({ types: [...types], span, prefix, page }, signal)
    entries.push(...response.entries)
    const [isLast, pages] = [response.entries.length === 0, page + 1]
    if (isLast || pages === MAX_SEARCH_PAGES) {
      return { entries, pages, requestedAt: response.requestedAt, isCapped: !isLast }
    }
  }
}

/**
 * The width of a part that holds less than half of these entries and is at most half as wide. An entry from
 * outside the span shows that Auth0 does not honour it.
 */
function narrow({ from, to }: Span, entries: unknown[]): number {
  const storedAts = entries
    .flatMap((entry) => storageTimeOf(readLogId(entry)) ?? [])
    .sort((a, b) => a - b)
  const median = storedAts[Math.floor(storedAts.length / 2)]
  const isOutside = (at: Instant) => at < from || at >= to
  if (median === undefined || storedAts.some(isOutside) || to - from <= 1) {
    throw new LastLogoutError(
      'AUTH0_MALFORMED_PAGE',
      `The search for logout events from ${toDateTime(from)} to ${toDateTime(to)} returned ${MAX_SEARCH_ENTRIES}, the most there can be. ` +
        'Its span cannot be split: Auth0 does not honour log_id in the search, or one millisecond holds as many. ' +
        'Report this with the version of last-logout.',
    )
  }
  return Math.min(Math.ceil((to - from) / 2), Math.max(1, to - median - 1))
}
