import { hasCode } from '../errors.js'
import type { Progress } from '../ports.js'
import type { Instant } from '../rules/instant.js'
import { prefixOf } from '../rules/log-id.js'
import type { Span } from '../rules/span.js'
import type { ArrivedPage, SyncDeps } from './catch-up.js'
import { type GapOptions, readUpTo, recordGap, SETTLED_MS } from './gaps.js'
import { sweep } from './sweep.js'

/** How far back what is read is looked for. */
export interface ReachOptions {
  /** What becomes visible late does so within this, in milliseconds. */
  reconcileWindowMs: number
  /** No refresh token lives longer: a logout from before concerns nobody. */
  maxRefreshAgeMs: number
}

/** How often what has come since is searched while the log is being followed from far behind. */
const AGAIN_MS = 15_000

/** What has just been stored may be found a little later. */
const OVERLAP_MS = 10_000

/**
 * Bridges an outage. What a catch-up reads first is the oldest; so that logouts count early, those of
 * the whole outage are searched for before its first page is stored, and those that come meanwhile
 * are again and again. Notes what the log does not hold any more, unless it has been followed up to
 * `followedAt`, and that is just now.
 */
export function createBridge(
  deps: SyncDeps,
  progress: Progress,
  options: ReachOptions & GapOptions & { followedAt: Instant | null },
  signal: AbortSignal,
): (page: ArrivedPage) => Promise<void> {
  const prefix = prefixOf(progress.checkpoint ?? '')
  let { followedAt } = options
  let sweptTo: Instant | null = null
  let isGivenUp = false

  async function sweepSpan(span: Span, between: () => Promise<void>): Promise<void> {
    sweptTo = span.to
    const store = deps.store.storeBatch
    await sweep(deps, { stage: 'outage', span, prefix, store, between }, signal)
  }

  const sweepAgain = async (now: Instant): Promise<void> => {
    if (sweptTo === null || now - sweptTo < AGAIN_MS) return
    await sweepSpan({ from: sweptTo - OVERLAP_MS, to: now }, async () => {})
  }

  async function sweepOutage(readTo: Instant, now: Instant): Promise<void> {
    // What is still to be reconciled from before is searched too: it counts as done then.
    const since = Math.min(readTo, progress.reconciledTo ?? readTo) - options.reconcileWindowMs
    const span = { from: Math.max(since, now - options.maxRefreshAgeMs), to: now }
    deps.onFinding?.({ kind: 'outage', span })
    const startedAt = performance.now()
    await sweepSpan(span, () => sweepAgain(now + Math.floor(performance.now() - startedAt)))
    await deps.store.finishReconcile(now)
  }

  async function searchAhead(readTo: Instant, now: Instant): Promise<void> {
    try {
      if (sweptTo === null) await sweepOutage(readTo, now)
      else await sweepAgain(now)
    } catch (error) {
      if (hasCode(error, 'ABORTED') || hasCode(error, 'DATABASE_UNAVAILABLE')) throw error
      // It only lets logouts count earlier: the log is followed to its end whatever becomes of it.
      isGivenUp = true
      deps.onFinding?.({ kind: 'search_failed', error })
    }
  }

  return async ({ askedAt, firstAt, reachedAt }) => {
    const readTo = readUpTo(progress, askedAt)
    if (readTo === null) return
    // Between any two pages the machine may have slept.
    if (askedAt - Math.max(readTo, followedAt ?? readTo) > SETTLED_MS) {
      const reached = await deps.store.readProgress()
      await recordGap(deps, { ...options, progress: reached, firstAt }, signal)
    }
    followedAt = askedAt
    const behindMs = reachedAt === null ? 0 : askedAt - reachedAt
    if (isGivenUp || behindMs <= options.reconcileWindowMs + SETTLED_MS) return
    await searchAhead(readTo, askedAt)
  }
}
