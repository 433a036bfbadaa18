import { hasCode } from '../errors.js'
import type { Batch } from '../rules/batch.js'
import { MIN_RETENTION_MS } from '../rules/gap.js'
import { tokenHorizonMs } from '../rules/gap-state.js'
import { prefixOf, storageTimeOf, syntheticLogId } from '../rules/log-id.js'
import type { Span } from '../rules/span.js'
import { catchUp, type LoopDeps, type SyncDeps } from './catch-up.js'
import { coldStart } from './cold-start.js'
import type { GapOptions } from './gaps.js'
import { withKnownProgress } from './known-progress.js'
import { createLease, type Lease } from './lease.js'
import { createOutageCheck } from './outage-check.js'
import type { SearchRange } from './outage-search.js'
import { createProgressGuard, type ProgressGuard } from './progress-guard.js'
import { moveCheckpoint, replaceCheckpoint } from './replace-checkpoint.js'
import { sweep } from './sweep.js'

/** The options of a poll. */
export interface PollOptions extends SearchRange, GapOptions {
  /** A sweep pauses for a catch-up at this interval, in milliseconds. */
  pollIntervalMs: number
}

/** The dependencies of a poll. */
export interface PollDeps extends SyncDeps {
  /** The lease that all polls of a process share. Default: a new lease. */
  lease?: Lease
  /** Ends loops that repeat without progress. All polls of a process share the guard. Default: a new guard. */
  guard?: ProgressGuard
}

/** Poll outcome: the log was read to its end, or another poller holds the lease. */
export type PollOutcome = 'caught_up' | 'lease_held'

/** Maximum number of refused checkpoints that one poll replaces. */
const MAX_REPLACEMENTS = 3

/**
 * Reads the log to its end, once. At the first start, the poll reads the newest entries first, then sweeps the older
 * entries. Between the requests of the sweep, the poll catches up with new entries.
 */
export async function poll(
  deps: PollDeps,
  options: PollOptions,
  signal: AbortSignal,
): Promise<PollOutcome> {
  return runGuarded(deps, signal, (loopDeps, leaseSignal) =>
    readToEnd(loopDeps, options, leaseSignal),
  )
}

/**
 * Polls, then searches a span before the checkpoint for late entries. A late entry became visible only after the
 * catch-up had read past its storage time. The metrics count the rows that late entries move forward.
 */
export async function reconcile(
  deps: PollDeps,
  options: PollOptions,
  signal: AbortSignal,
): Promise<PollOutcome> {
  return runGuarded(deps, signal, async (loopDeps, leaseSignal) => {
    await readToEnd(loopDeps, options, leaseSignal)
    await sweepRecent(loopDeps, options, leaseSignal)
    // The next poll can begin almost a whole interval after the last catch-up of the sweep.
    await catchUpFromCheckpoint(loopDeps, options, leaseSignal)
  })
}

/** Runs `run` while this poller holds the lease. The guard ends loops of the run that make no progress. */
async function runGuarded(
  deps: PollDeps,
  signal: AbortSignal,
  run: (deps: LoopDeps, leaseSignal: AbortSignal) => Promise<void>,
): Promise<PollOutcome> {
  const { store, lease = createLease(store), guard = createProgressGuard() } = deps
  const hasRun = await lease.run(signal, (leaseSignal, progress) => {
    const leasedStore = withKnownProgress(store, progress)
    return guard.run(leasedStore.readProgress, leaseSignal, (startLoop) =>
      run({ ...deps, store: leasedStore, startLoop }, leaseSignal),
    )
  })
  return hasRun ? 'caught_up' : 'lease_held'
}

async function readToEnd(deps: LoopDeps, options: PollOptions, signal: AbortSignal): Promise<void> {
  await catchUpFromCheckpoint(deps, { ...options, isFirst: true }, signal)
  const beforeRequest = catchUpWhenDue(deps, options, signal)
  const isSwept = async () => (await deps.store.readProgress()).sweep === null
  const store = async (batch: Batch, part: Span) => {
    if (!(await deps.store.storeSweep(batch, part))) return false
    const { sweep: rest } = await deps.store.readProgress()
    return rest === null || rest.to <= part.from
  }
  const nextRound = deps.startLoop('sweep')
  for (;;) {
    const progress = await nextRound()
    if (progress.state !== 'sweeping') return
    const prefix = prefixOf(progress.checkpoint)
    await sweep(
      deps,
      { stage: 'sweep', span: progress.sweep, prefix, store, beforeRequest },
      signal,
    )
    if (!(await isSwept())) continue
    // `asOf` does not move before the sweep is complete. If this catch-up replaces the checkpoint, another sweep can follow.
    await catchUpFromCheckpoint(deps, options, signal)
    if (await isSwept()) return
  }
}

async function sweepRecent(
  deps: LoopDeps,
  options: PollOptions,
  signal: AbortSignal,
): Promise<void> {
  const { checkpoint, asOf, reconciledTo } = await deps.store.readProgress()
  const storedAt = storageTimeOf(checkpoint)
  if (checkpoint === null || storedAt === null || asOf === null) return
  // The last reconcile has found the late entries that were visible at that time. An entry that became visible later can
  // have been stored up to `reconcileWindowMs` before the last reconcile.
  const since = Math.min(asOf, reconciledTo ?? asOf) - options.reconcileWindowMs
  // Searches up to `asOf`, even if the checkpoint is older. So the search verifies that all logouts before `asOf` have
  // been read.
  const span = { from: Math.max(since, asOf - tokenHorizonMs(options)), to: asOf + 1 }
  const beforeRequest = catchUpWhenDue(deps, options, signal)
  const prefix = prefixOf(checkpoint)
  let advancedRows = 0
  const store = async (batch: Batch) => {
    advancedRows += await deps.store.storeReconciled(batch)
  }
  await sweep(deps, { stage: 'reconcile', span, prefix, store, beforeRequest }, signal)
  // Auth0 can respond to an expired checkpoint with an empty page, although the log holds later entries.
  if (advancedRows > 0 && storedAt < asOf - MIN_RETENTION_MS) {
    const { sweep: rest } = await deps.store.readProgress()
    await moveCheckpoint(deps, checkpoint, syntheticLogId(span.from, prefix), rest)
  }
  await deps.store.finishReconcile(asOf)
}

/**
 * Catches up. Replaces a checkpoint that Auth0 refuses. `isFirst`: this is the first catch-up of a poll, so there can
 * have been an outage of the worker before it.
 */
async function catchUpFromCheckpoint(
  deps: LoopDeps,
  { isFirst = false, ...options }: PollOptions & { isFirst?: boolean },
  signal: AbortSignal,
): Promise<void> {
  const nextRound = deps.startLoop('replace-checkpoint')
  let isReplaced = false
  for (let replacements = 0; ; replacements++) {
    await coldStart(deps, options, signal)
    const progress = isReplaced ? await deps.store.readProgress() : await nextRound()
    const polledAt = isFirst ? null : progress.lastPollAt
    const checkOutage = createOutageCheck(deps, progress, { ...options, polledAt }, signal)
    try {
      return await catchUp(deps, signal, checkOutage)
    } catch (error) {
      if (!hasCode(error, 'AUTH0_CHECKPOINT_REFUSED')) throw error
      if (replacements === MAX_REPLACEMENTS) throw error
      isReplaced = await replaceCheckpoint(deps, options, error, signal)
    }
  }
}

/**
 * Creates a function to be called before each request of a sweep, which can take hours. It catches up whenever a poll
 * would be due, and waits until the rate limit leaves enough requests for the next catch-up. After a catch-up, it does not
 * wait longer than until the next one is due: otherwise a busy log could stop the sweep.
 */
function catchUpWhenDue(
  deps: LoopDeps,
  options: PollOptions,
  signal: AbortSignal,
): () => Promise<void> {
  let dueAt = performance.now() + options.pollIntervalMs
  return async () => {
    for (let hasCaughtUp = false; ; hasCaughtUp = true) {
      const dueInMs = dueAt - performance.now()
      if (dueInMs > 0 && (await deps.source.awaitSpareBudget(dueInMs, signal))) return
      if (hasCaughtUp) return
      dueAt = performance.now() + options.pollIntervalMs
      await catchUpFromCheckpoint(deps, options, signal)
    }
  }
}
