import { hasCode } from '../errors.js'
import type { Batch } from '../ports.js'
import { prefixOf, storageTimeOf, syntheticLogId } from '../rules/log-id.js'
import { createBridge, type ReachOptions } from './bridge.js'
import { catchUp, type SyncDeps } from './catch-up.js'
import { coldStart } from './cold-start.js'
import { type GapOptions, SHORTEST_RETENTION_MS } from './gaps.js'
import { createLease, type Lease } from './lease.js'
import { moveCheckpoint, replaceCheckpoint } from './replace-checkpoint.js'
import { sweep } from './sweep.js'

/** How the log is read. */
export interface PollOptions extends ReachOptions, GapOptions {
  /** A sweep makes way for a catch-up after so long, in milliseconds. */
  pollIntervalMs: number
}

/** What a poll needs. */
export interface PollDeps extends SyncDeps {
  /** Shared by the polls of a process. Default: one of its own. */
  lease?: Lease
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
  deps: PollDeps,
  options: PollOptions,
  signal: AbortSignal,
): Promise<PollOutcome> {
  const { lease = createLease(deps.store) } = deps
  const ran = await lease.run(signal, (held) => readToEnd(deps, options, held))
  return ran ? 'caught_up' : 'lease_held'
}

/**
 * Polls, and then reads again what lies a little behind the checkpoint: an entry that became visible
 * late, polling passes by. What is found so is counted.
 */
export async function reconcile(
  deps: PollDeps,
  options: PollOptions,
  signal: AbortSignal,
): Promise<PollOutcome> {
  const { lease = createLease(deps.store) } = deps
  const ran = await lease.run(signal, async (held) => {
    await readToEnd(deps, options, held)
    await sweepRecent(deps, options, held)
  })
  return ran ? 'caught_up' : 'lease_held'
}

async function readToEnd(deps: SyncDeps, options: PollOptions, signal: AbortSignal): Promise<void> {
  await follow(deps, { ...options, isFirst: true }, signal)
  const between = createKeepUp(deps, options, signal)
  const store = deps.store.storeSweep
  for (;;) {
    const { checkpoint, sweep: span } = await deps.store.readProgress()
    if (checkpoint === null || span === null) return
    const prefix = prefixOf(checkpoint)
    await sweep(deps, { stage: 'sweep', span, prefix, store, between }, signal)
    // Only now what has been caught up with is fresh. And a replaced checkpoint may ask for another.
    await follow(deps, options, signal)
  }
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
  // Up to what is said to be known, though nothing be new behind the checkpoint: by another way.
  const span = { from: Math.max(since, asOf - options.maxRefreshAgeMs), to: asOf + 1 }
  const between = createKeepUp(deps, options, signal)
  const prefix = prefixOf(checkpoint)
  let found = 0
  const store = async (batch: Batch) => {
    found += await deps.store.storeReconciled(batch)
  }
  await sweep(deps, { stage: 'reconcile', span, prefix, store, between }, signal)
  // Auth0 may answer a checkpoint that it has forgotten as if nothing had come after it.
  if (found > 0 && storedAt < asOf - SHORTEST_RETENTION_MS) {
    const { sweep: rest } = await deps.store.readProgress()
    await moveCheckpoint(deps, checkpoint, syntheticLogId(span.from, prefix), rest)
  }
  await deps.store.finishReconcile(asOf)
}

/** Catches up, from wherever Auth0 lets us; `isFirst` in a poll, which may come after an outage. */
async function follow(
  deps: SyncDeps,
  { isFirst = false, ...options }: PollOptions & { isFirst?: boolean },
  signal: AbortSignal,
): Promise<void> {
  for (let replacements = 0; ; replacements++) {
    await coldStart(deps, options, signal)
    const progress = await deps.store.readProgress()
    const followedAt = isFirst ? null : progress.lastPollAt
    const bridge = createBridge(deps, progress, { ...options, followedAt }, signal)
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
