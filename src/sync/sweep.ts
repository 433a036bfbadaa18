import { aborted, LastLogoutError } from '../errors.js'
import type { Batch } from '../ports.js'
import type { Instant } from '../rules/instant.js'
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
    if (found === 'too many') {
      widthMs = halve(part)
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
}

/** Read until an empty answer: that only the last one is short, Auth0 does not say. */
async function search(
  { source, types }: SyncDeps,
  span: Span,
  { prefix, between }: SweepOptions,
  signal: AbortSignal,
): Promise<Found | 'too many'> {
  const entries: unknown[] = []
  for (let page = 0; page < SEARCH_PAGES; page++) {
    await between()
    if (signal.aborted) throw aborted()
    const answer = await source.search({ types: [...types], span, prefix, page }, signal)
    if (answer.entries.length === 0) return { entries, pages: page + 1, askedAt: answer.askedAt }
    entries.push(...answer.entries)
  }
  // As many as a search can give: there may be more.
  return 'too many'
}

function halve(span: Span): number {
  const width = span.to - span.from
  if (width > 1) return Math.ceil(width / 2)
  throw new LastLogoutError(
    'AUTH0_MALFORMED_PAGE',
    `Auth0 gives ${SEARCH_CAP} logout events of a single millisecond: its search does not honour log_id`,
  )
}
