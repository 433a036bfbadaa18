import { hasCode } from '../errors.js'
import type { Batch } from '../rules/batch.js'
import { MIN_RETENTION_MS } from '../rules/gap.js'
import { tokenHorizonMs } from '../rules/gap-state.js'
import { prefixOf, storageTimeOf, syntheticLogId } from '../rules/log-id.js'
import type { Span } from '../rules/span.js'
import { withCachedProgress } from './cached-progress.js'
import { catchUp, type LoopDeps, type SyncDeps } from './catch-up.js'
import { coldStart } from './cold-start.js'
import type { GapOptions } from './gaps.js'
import { createLease, type Lease } from './lease.js'
import { createOutageCheck } from './outage-check.js'
import type { SearchRange } from './outage-search.js'
import { createProgressGuard, type ProgressGuard } from './progress-guard.js'
import { moveCheckpoint, replaceCheckpoint } from './replace-checkpoint.js'
import { sweep } from './sweep.js'
import { createSweepGapCheck } from './sweep-gap.js'

/** The options of a poll. */
export interface PollOptions extends SearchRange, GapOptions {
  /** Interval at which a long sweep pauses for a catch-up, in milliseconds. */
  pollIntervalMs: number
}

/** The dependencies of a poll. */
export interface PollDeps extends SyncDeps {
  /** The lease that all polls of a process share. Default: a new lease. */
  lease?: Lease
  /** The guard that ends loops without progress. All polls of a process share the guard. Default: a new guard. */
  guard?: ProgressGuard
}

/** `caught_up`: the log was read to its end. `lease_held`: another process polls, so nothing was read. */
export type PollOutcome = 'caught_up' | 'lease_held'

/** Maximum number of refused checkpoints that one poll replaces. */
const MAX_REPLACEMENTS = 3

/**
 * Reads the log to its end once.
 *
 * A catch-up reads pages from the checkpoint to the end of the log. At the first start, the catch-up begins with the
 * newest entries. Then a sweep searches the older part of the log for logouts. The sweep pauses regularly, so that
 * another catch-up reads the new entries.
 */
export async function poll(
  deps: PollDeps,
  options: PollOptions,
  signal: AbortSignal,
): Promise<PollOutcome> {
  return runWithLease(deps, signal, (loopDeps, leaseSignal) =>
    readToEnd(loopDeps, options, leaseSignal),
  )
}

/**
 * Polls, then searches the recent log again for late entries. A late entry became visible after the catch-up had read
 * beyond the storage time of the entry. A metric counts the rows that late entries change.
 */
export async function reconcile(
  deps: PollDeps,
  options: PollOptions,
  signal: AbortSignal,
): Promise<PollOutcome> {
  return runWithLease(deps, signal, async (loopDeps, leaseSignal) => {
    await readToEnd(loopDeps, options, leaseSignal)
    await sweepRecent(loopDeps, options, leaseSignal)
    // Reads the entries that arrived during the sweep. The next poll can be almost a whole interval away.
    await catchUpFromCheckpoint(loopDeps, options, leaseSignal)
  })
}

/** Calls `run` if this process acquires the lease. A progress guard ends loops without progress. */
async function runWithLease(
  deps: PollDeps,
  signal: AbortSignal,
  run: (deps: LoopDeps, leaseSignal: AbortSignal) => Promise<void>,
): Promise<PollOutcome> {
  const { store, lease = createLease(store), guard = createProgressGuard() } = deps
  const hasRun = await lease.run(signal, (leaseSignal, progress) => {
    const leasedStore = withCachedProgress(store, progress)
    return guard.run(leasedStore.readProgress, leaseSignal, (startLoop) =>
      run({ ...deps, store: leasedStore, startLoop }, leaseSignal),
    )
  })
  return hasRun ? 'caught_up' : 'lease_held'
}

/** Catches up, then sweeps the remaining span of the log, if any. */
async function readToEnd(deps: LoopDeps, options: PollOptions, signal: AbortSignal): Promise<void> {
  await catchUpFromCheckpoint(deps, { ...options, isFirst: true }, signal)
  const beforeRequest = catchUpWhenDue(deps, options, signal)
  const isSwept = async () => (await deps.store.readProgress()).sweep === null
  const checkGap = createSweepGapCheck(deps, options, signal)
  /** Stores the logouts of `part`. Returns false if the span to sweep has been replaced, which ends this sweep. */
  const store = async (batch: Batch, part: Span) => {
    await checkGap(part)
    if (!(await deps.store.storeSweep(batch, part))) return false
    const { sweep: remaining } = await deps.store.readProgress()
    return remaining === null || remaining.to <= part.from
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
    // `asOf` does not move until the sweep is complete. This catch-up moves `asOf`. It can also set another span to
    // sweep, if it replaces a refused checkpoint.
    await catchUpFromCheckpoint(deps, options, signal)
    if (await isSwept()) return
  }
}

/** Searches the recent log for late entries. */
async function sweepRecent(
  deps: LoopDeps,
  options: PollOptions,
  signal: AbortSignal,
): Promise<void> {
  const { checkpoint, asOf, reconciledTo } = await deps.store.readProgress()
  const storedAt = storageTimeOf(checkpoint)
  if (checkpoint === null || storedAt === null || asOf === null) return
  // The last reconcile found the late entries that were visible at that time. An entry that became visible afterwards
  // was stored at most `reconcileWindowMs` before the last reconcile.
  const since = Math.min(asOf, reconciledTo ?? asOf) - options.reconcileWindowMs
  // Searches up to `asOf`, even if the checkpoint is older, because all logouts before `asOf` must have been read.
  const span = { from: Math.max(since, asOf - tokenHorizonMs(options)), to: asOf + 1 }
  const beforeRequest = catchUpWhenDue(deps, options, signal)
  const prefix = prefixOf(checkpoint)
  let hasLogouts = false
  const store = async (batch: Batch) => {
    hasLogouts ||= batch.users.length + batch.sessions.length > 0
    await deps.store.storeReconciled(batch)
  }
  await sweep(deps, { stage: 'reconcile', span, prefix, store, beforeRequest }, signal)
  // Auth0 can return an empty page for an expired checkpoint, although the log has later entries. If the checkpoint is
  // old, and the sweep found logouts, the catch-up has not read them. A log stream may have stored them before.
  if (hasLogouts && storedAt < asOf - MIN_RETENTION_MS) {
    const { sweep: remaining } = await deps.store.readProgress()
    await moveCheckpoint(deps, checkpoint, syntheticLogId(span.from, prefix), remaining)
  }
  await deps.store.finishReconcile(asOf)
}

/**
 * Catches up from the checkpoint. Sets the first checkpoint, and replaces a checkpoint that Auth0 refuses.
 *
 * @param options `isFirst`: whether this is the first catch-up of a poll. If so, the worker may not have run for some
 *   time before.
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
    // A replacement is progress. After a replacement that failed, the guard counts the round, and delays it.
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
 * Creates a function to be called before each request of a sweep. A sweep can take hours, so the function catches up
 * whenever a poll is due. Until then, it waits if the rate limit leaves too few requests for the next catch-up. Each
 * call catches up at most once, so that the sweep continues even if the log is busy.
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
