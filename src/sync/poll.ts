import { hasCode } from '../errors.js'
import type { Batch } from '../ports.js'
import { prefixOf, storageTimeOf, syntheticLogId } from '../rules/log-id.js'
import type { Span } from '../rules/span.js'
import { createBridge, type ReachOptions } from './bridge.js'
import { catchUp, type LoopDeps, type SyncDeps } from './catch-up.js'
import { coldStart } from './cold-start.js'
import { type GapOptions, SHORTEST_RETENTION_MS } from './gaps.js'
import { createLease, type Lease } from './lease.js'
import { createProgressGuard, type ProgressGuard } from './progress-guard.js'
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
  /** Ends loops that repeat without progress. Shared as the lease is. Default: one of its own. */
  guard?: ProgressGuard
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
  return runGuarded(deps, signal, (guarded, held) => readToEnd(guarded, options, held))
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
  return runGuarded(deps, signal, async (guarded, held) => {
    await readToEnd(guarded, options, held)
    await sweepRecent(guarded, options, held)
  })
}

/** Runs something while holding the lease, with loops that end where they make no progress. */
async function runGuarded(
  deps: PollDeps,
  signal: AbortSignal,
  run: (deps: LoopDeps, held: AbortSignal) => Promise<void>,
): Promise<PollOutcome> {
  const { store, lease = createLease(store), guard = createProgressGuard() } = deps
  const ran = await lease.run(signal, (held) =>
    guard.run(store.readProgress, held, (startLoop) => run({ ...deps, startLoop }, held)),
  )
  return ran ? 'caught_up' : 'lease_held'
}

async function readToEnd(deps: LoopDeps, options: PollOptions, signal: AbortSignal): Promise<void> {
  await follow(deps, { ...options, isFirst: true }, signal)
  const between = createKeepUp(deps, options, signal)
  const readRest = async () => (await deps.store.readProgress()).sweep
  const store = async (batch: Batch, part: Span) => {
    if (!(await deps.store.storeSweep(batch, part))) return false
    const rest = await readRest()
    return rest === null || rest.to <= part.from
  }
  const nextRound = deps.startLoop('sweep')
  for (;;) {
    const { checkpoint, sweep: span } = await nextRound()
    if (checkpoint === null || span === null) return
    const prefix = prefixOf(checkpoint)
    await sweep(deps, { stage: 'sweep', span, prefix, store, between }, signal)
    if ((await readRest()) !== null) continue
    // Only now what has been caught up with is fresh. And a replaced checkpoint may ask for another.
    await follow(deps, options, signal)
    if ((await readRest()) === null) return
  }
}

async function sweepRecent(
  deps: LoopDeps,
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
  deps: LoopDeps,
  { isFirst = false, ...options }: PollOptions & { isFirst?: boolean },
  signal: AbortSignal,
): Promise<void> {
  const nextRound = deps.startLoop('replace-checkpoint')
  let isReplaced = false
  for (let replacements = 0; ; replacements++) {
    await coldStart(deps, options, signal)
    const progress = isReplaced ? await deps.store.readProgress() : await nextRound()
    const followedAt = isFirst ? null : progress.lastPollAt
    const bridge = createBridge(deps, progress, { ...options, followedAt }, signal)
    try {
      return await catchUp(deps, signal, bridge)
    } catch (error) {
      if (!hasCode(error, 'AUTH0_CHECKPOINT_REFUSED')) throw error
      if (replacements === MOST_REPLACEMENTS) throw error
      isReplaced = await replaceCheckpoint(deps, options, error, signal)
    }
  }
}

/** Catches up when the next poll would be due: a sweep may take hours, and must not keep it waiting. */
function createKeepUp(
  deps: LoopDeps,
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
