import { hasCode } from '../errors.js'
import type { Batch } from '../rules/batch.js'
import { MIN_RETENTION_MS } from '../rules/gap.js'
import { tokenHorizonMs } from '../rules/gap-state.js'
import { prefixOf, storageTimeOf, syntheticLogId } from '../rules/log-id.js'
import type { Span } from '../rules/span.js'
import { createBridge } from './bridge.js'
import { catchUp, type LoopDeps, type SyncDeps } from './catch-up.js'
import { coldStart } from './cold-start.js'
import type { GapOptions } from './gaps.js'
import { createLease, type Lease } from './lease.js'
import type { SearchRange } from './outage-search.js'
import { createProgressGuard, type ProgressGuard } from './progress-guard.js'
import { moveCheckpoint, replaceCheckpoint } from './replace-checkpoint.js'
import { sweep } from './sweep.js'

/** How the log is read. */
export interface PollOptions extends SearchRange, GapOptions {
  /** A sweep pauses for a catch-up at this interval, in milliseconds. */
  pollIntervalMs: number
}

/** What a poll needs. */
export interface PollDeps extends SyncDeps {
  /** Shared by the polls of a process. Default: a lease of its own. */
  lease?: Lease
  /** Ends loops that repeat without progress. Shared like the lease. Default: a guard of its own. */
  guard?: ProgressGuard
}

/** Poll outcome: the log was read to its end, or another poller holds the lease. */
export type PollOutcome = 'caught_up' | 'lease_held'

/** How often one poll replaces a refused checkpoint. */
const MAX_REPLACEMENTS = 3

/**
 * Reads the log to its end, once. A first start reads the newest entries first, then sweeps the older
 * ones. It catches up with new entries between the requests of the sweep.
 */
export async function poll(
  deps: PollDeps,
  options: PollOptions,
  signal: AbortSignal,
): Promise<PollOutcome> {
  return runGuarded(deps, signal, (guarded, held) => readToEnd(guarded, options, held))
}

/**
 * Polls, then searches a little behind the checkpoint for entries that became visible late, which paging
 * has passed. The rows found this way are counted.
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

/** Runs `run` while this poller holds the lease. Its loops end where they make no progress. */
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
  await catchUpFromCheckpoint(deps, { ...options, isFirst: true }, signal)
  const between = catchUpWhenDue(deps, options, signal)
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
    await sweep(deps, { stage: 'sweep', span: progress.sweep, prefix, store, between }, signal)
    if (!(await isSwept())) continue
    // Freshness moves only now. A replaced checkpoint can ask for another sweep.
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
  // Late entries became visible before the last reconcile, or since.
  const since = Math.min(asOf, reconciledTo ?? asOf) - options.reconcileWindowMs
  // Up to `asOf`, also where the checkpoint is older: this reads what is claimed to be known in another way.
  const span = { from: Math.max(since, asOf - tokenHorizonMs(options)), to: asOf + 1 }
  const between = catchUpWhenDue(deps, options, signal)
  const prefix = prefixOf(checkpoint)
  let found = 0
  const store = async (batch: Batch) => {
    found += await deps.store.storeReconciled(batch)
  }
  await sweep(deps, { stage: 'reconcile', span, prefix, store, between }, signal)
  // Auth0 can answer an expired checkpoint as if no entry had followed it.
  if (found > 0 && storedAt < asOf - MIN_RETENTION_MS) {
    const { sweep: rest } = await deps.store.readProgress()
    await moveCheckpoint(deps, checkpoint, syntheticLogId(span.from, prefix), rest)
  }
  await deps.store.finishReconcile(asOf)
}

/** Catches up. Replaces a checkpoint that Auth0 refuses. `isFirst`: an outage can precede this catch-up. */
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
    const bridge = createBridge(deps, progress, { ...options, polledAt }, signal)
    try {
      return await catchUp(deps, signal, bridge)
    } catch (error) {
      if (!hasCode(error, 'AUTH0_CHECKPOINT_REFUSED')) throw error
      if (replacements === MAX_REPLACEMENTS) throw error
      isReplaced = await replaceCheckpoint(deps, options, error, signal)
    }
  }
}

/** Catches up when the next poll is due: a sweep can take hours and must not delay it. */
function catchUpWhenDue(
  deps: LoopDeps,
  options: PollOptions,
  signal: AbortSignal,
): () => Promise<void> {
  let caughtUpAt = performance.now()
  return async () => {
    if (performance.now() - caughtUpAt < options.pollIntervalMs) return
    await catchUpFromCheckpoint(deps, options, signal)
    caughtUpAt = performance.now()
  }
}
