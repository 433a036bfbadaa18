import { hasCode } from '../errors.js'
import { prefixOf, storageTimeOf } from '../rules/log-id.js'
import { createBridge, type ReachOptions } from './bridge.js'
import { catchUp, type SyncDeps } from './catch-up.js'
import { coldStart } from './cold-start.js'
import type { GapOptions } from './gaps.js'
import { withLease } from './lease.js'
import { replaceCheckpoint } from './replace-checkpoint.js'
import { sweep } from './sweep.js'

/** How the log is read. */
export interface PollOptions extends ReachOptions, GapOptions {
  /** A sweep makes way for a catch-up after so long, in milliseconds. */
  pollIntervalMs: number
}

/** What a poll came to: the log was read to its end, or another poller is at it. */
export type PollOutcome = 'caught_up' | 'lease_held'

/** In one poll, a checkpoint that is refused is replaced at most so often. */
const MOST_REPLACEMENTS = 3

/**
 * Reads the log to its end, once. At a first start the newest entries come first, then the sweep of
 * what is before; what comes meanwhile is read between its requests.
 */
export async function poll(
  deps: SyncDeps,
  options: PollOptions,
  signal: AbortSignal,
): Promise<PollOutcome> {
  const ran = await withLease(deps.store, () => readToEnd(deps, options, signal))
  return ran ? 'caught_up' : 'lease_held'
}

/**
 * Polls, and then reads again what lies a little behind the checkpoint: an entry that became visible
 * late, polling passes by. What is found so is counted.
 */
export async function reconcile(
  deps: SyncDeps,
  options: PollOptions,
  signal: AbortSignal,
): Promise<PollOutcome> {
  const ran = await withLease(deps.store, async () => {
    await readToEnd(deps, options, signal)
    await sweepRecent(deps, options, signal)
  })
  return ran ? 'caught_up' : 'lease_held'
}

async function readToEnd(deps: SyncDeps, options: PollOptions, signal: AbortSignal): Promise<void> {
  await follow(deps, { ...options, checksGap: true }, signal)
  const { checkpoint, sweep: span } = await deps.store.readProgress()
  if (checkpoint === null || span === null) return
  const between = createKeepUp(deps, options, signal)
  const store = deps.store.storeSweep
  const prefix = prefixOf(checkpoint)
  await sweep(deps, { stage: 'sweep', span, prefix, store, between }, signal)
  // Only now what has been caught up with is fresh.
  await follow(deps, options, signal)
}

async function sweepRecent(
  deps: SyncDeps,
  options: PollOptions,
  signal: AbortSignal,
): Promise<void> {
  const { checkpoint, asOf, reconciledTo } = await deps.store.readProgress()
  const storedAt = storageTimeOf(checkpoint ?? '')
  if (checkpoint === null || storedAt === null || asOf === null) return
  // What could become visible late has done so before the last time, or since.
  const since = Math.min(asOf, reconciledTo ?? asOf) - options.reconcileWindowMs
  const span = {
    from: Math.max(since, asOf - options.maxRefreshAgeMs),
    // What lies behind the checkpoint, polling will come to.
    to: Math.min(storedAt, asOf) + 1,
  }
  if (span.from < span.to) {
    const between = createKeepUp(deps, options, signal)
    const store = deps.store.storeReconciled
    const prefix = prefixOf(checkpoint)
    await sweep(deps, { stage: 'reconcile', span, prefix, store, between }, signal)
  }
  await deps.store.finishReconcile(asOf)
}

/** Catches up, from wherever Auth0 lets us. */
async function follow(
  deps: SyncDeps,
  options: PollOptions & { checksGap?: boolean },
  signal: AbortSignal,
): Promise<void> {
  for (let replacements = 0; ; replacements++) {
    await coldStart(deps, options, signal)
    const bridge = createBridge(deps, await deps.store.readProgress(), options, signal)
    try {
      return await catchUp(deps, signal, bridge)
    } catch (error) {
      if (!hasCode(error, 'AUTH0_CHECKPOINT_REFUSED')) throw error
      if (replacements === MOST_REPLACEMENTS) throw error
      await replaceCheckpoint(deps, options, error, signal)
    }
  }
}

/** Catches up when the next poll would be due: a sweep may take hours, and must not keep it waiting. */
function createKeepUp(
  deps: SyncDeps,
  options: PollOptions,
  signal: AbortSignal,
): () => Promise<void> {
  let caughtUpAt = performance.now()
  return async () => {
    if (performance.now() - caughtUpAt < options.pollIntervalMs) return
    await follow(deps, options, signal)
    caughtUpAt = performance.now()
  }
}
