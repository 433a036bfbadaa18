import { aborted, LastLogoutError } from '../errors.js'
import type { Batch } from '../ports.js'
import { readLogId } from '../rules/entry.js'
import { type Instant, toDateTime } from '../rules/instant.js'
import { storageTimeOf } from '../rules/log-id.js'
import type { Span } from '../rules/span.js'
import type { SyncDeps } from './catch-up.js'
import { readBatch } from './read-batch.js'

/** A search gives at most this many entries, over at most this many pages. */
const SEARCH_CAP = 1_000
const SEARCH_PAGES = 10

const HOUR_MS = 3_600_000

/** Below this many results the next span is made wider. */
const SPARSE = SEARCH_CAP / 4

/** What is swept, and what is done with it. */
export interface SweepOptions {
  /** What it is told as. */
  stage: 'sweep' | 'outage' | 'reconcile'
  span: Span
  /** The tenant's log id prefix. */
  prefix: string
  /** Stores what a part of the span holds. False: the rest of it need not be read. */
  store(batch: Batch, part: Span): Promise<unknown>
  /** Runs before each request: what must not wait for the whole sweep. */
  between(): Promise<unknown>
}

/**
 * Reads the logout events that were stored in a span, the newest first, part by part. A part that
 * holds more than a search can give is split.
 *
 * @throws `AUTH0_MALFORMED_PAGE` where a search does not give the entries of its span.
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
    deps.onProgress?.({ stage, pages, entries: entries.length, events, reachedAt })
    if (!isStored) return
    if (found.entries.length < SPARSE) widthMs *= 4
  }
}

interface Found {
  entries: unknown[]
  pages: number
  askedAt: Instant
  /** As many as a search can give: there may be more. */
  isCapped: boolean
}

/** Read until an empty answer: that only the last one is short, Auth0 does not say. */
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
    const answer = await source.search({ types: [...types], span, prefix, page }, signal)
    entries.push(...answer.entries)
    const [isLast, pages] = [answer.entries.length === 0, page + 1]
    if (isLast || pages === SEARCH_PAGES) {
      return { entries, pages, askedAt: answer.askedAt, isCapped: !isLast }
    }
  }
}

/**
 * The width of a part that holds less than half of these entries, and is at most half as wide: a
 * search that gives one of the others again does not honour its span.
 */
function narrow({ from, to }: Span, entries: unknown[]): number {
  const storedAts = entries
    .flatMap((entry) => storageTimeOf(readLogId(entry) ?? '') ?? [])
    .sort((a, b) => a - b)
  const median = storedAts[Math.floor(storedAts.length / 2)]
  const isOutside = (at: Instant) => at < from || at >= to
  if (median === undefined || storedAts.some(isOutside) || to - from <= 1) {
    throw new LastLogoutError(
      'AUTH0_MALFORMED_PAGE',
      `The search for logout events from ${toDateTime(from)} to ${toDateTime(to)} returned ${SEARCH_CAP}, the most there can be. ` +
        'Its span cannot be split: Auth0 does not honour log_id in the search, or one millisecond holds as many. ' +
        'Report this with the version of last-logout.',
    )
  }
  return Math.min(Math.ceil((to - from) / 2), Math.max(1, to - median - 1))
}
