import { aborted, LastLogoutError } from '../errors.js'
import type { Span } from '../ports.js'
import type { Instant } from '../rules/instant.js'
import { prefixOf } from '../rules/log-id.js'
import type { SyncDeps } from './catch-up.js'
import { readBatch } from './read-batch.js'

/** A search gives at most this many entries, over at most this many pages. */
const SEARCH_CAP = 1_000
const SEARCH_PAGES = 10

const HOUR_MS = 3_600_000

/** Below this many results the next span is made wider. */
const SPARSE = SEARCH_CAP / 4

/**
 * Reads what the cold start's sweep still has to read, newest first, span by span, and stores each
 * with what then remains: a stop in the middle is taken up where it was. A span that holds more than
 * a search can give is split. `afterSpan` lets the caller do what must not wait for the whole sweep.
 */
export async function sweep(
  deps: SyncDeps,
  signal: AbortSignal,
  afterSpan: () => Promise<void>,
): Promise<void> {
  const { checkpoint, sweep: whole } = await deps.store.readProgress()
  if (checkpoint === null) return
  const prefix = prefixOf(checkpoint)
  let widthMs = HOUR_MS
  for (let rest = whole; rest !== null; ) {
    if (signal.aborted) throw aborted()
    const span = { from: Math.max(rest.from, rest.to - widthMs), to: rest.to }
    const found = await searchSpan(deps, span, prefix, signal)
    if (found === 'too many') {
      widthMs = halve(span)
      continue
    }
    rest = span.from > rest.from ? { from: rest.from, to: span.from } : null
    await store(deps, found, span, rest)
    await afterSpan()
    if (found.entries.length < SPARSE) widthMs *= 4
  }
}

interface Found {
  entries: unknown[]
  pages: number
  askedAt: Instant
}

/** Read until an empty answer: that only the last one is short, Auth0 does not say. */
async function searchSpan(
  { source, types }: SyncDeps,
  span: Span,
  prefix: string,
  signal: AbortSignal,
): Promise<Found | 'too many'> {
  const entries: unknown[] = []
  for (let page = 0; page < SEARCH_PAGES; page++) {
    const answer = await source.search({ types: [...types], span, prefix, page }, signal)
    if (answer.entries.length === 0) return { entries, pages: page + 1, askedAt: answer.askedAt }
    entries.push(...answer.entries)
  }
  // As many as a search can give: there may be more.
  return 'too many'
}

async function store(deps: SyncDeps, found: Found, span: Span, rest: Span | null): Promise<void> {
  const { batch, events } = readBatch(found.entries, deps.types, found.askedAt)
  await deps.store.storeSweep(batch, rest)
  const { entries, pages } = found
  const reachedAt = span.from
  deps.onProgress?.({ stage: 'sweep', pages, entries: entries.length, events, reachedAt })
}

function halve(span: Span): number {
  const width = span.to - span.from
  if (width > 1) return Math.ceil(width / 2)
  throw new LastLogoutError(
    'AUTH0_MALFORMED_PAGE',
    `Auth0 gives ${SEARCH_CAP} logout events of a single millisecond: its search does not honour log_id`,
  )
}
