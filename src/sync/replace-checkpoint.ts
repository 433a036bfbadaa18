import type { LastLogoutError } from '../errors.js'
import { readLogId } from '../rules/entry.js'
import { storageTimeOf, syntheticLogId } from '../rules/log-id.js'
import type { Span } from '../rules/span.js'
import type { SyncDeps } from './catch-up.js'
import { type GapOptions, recordGap } from './gaps.js'

/**
 * Replaces a checkpoint that Auth0 has refused. The new checkpoint is the first of these that is possible:
 *
 * 1. A synthetic log id of the same storage time, if Auth0 still retains entries of that time.
 * 2. A synthetic log id of the storage time of the oldest entry.
 * 3. The log id of the newest entry, if Auth0 accepts no synthetic log id. A sweep then covers the time before this
 *    entry.
 *
 * @returns Whether the checkpoint was moved.
 * @throws `refusal`, the error of Auth0, if none of these is possible.
 */
export async function replaceCheckpoint(
  deps: SyncDeps,
  options: GapOptions,
  refusal: LastLogoutError,
  signal: AbortSignal,
): Promise<boolean> {
  const progress = await deps.store.readProgress()
  const { checkpoint, sweep } = progress
  if (checkpoint === null) return false
  const search = { ...options, progress, firstAt: null }
  const { oldestAt, prefix } = await recordGap(deps, search, signal)
  const move = (to: string | null, spanToSweep = sweep) =>
    moveCheckpoint(deps, checkpoint, to, spanToSweep)
  if (oldestAt === null) return move(null)

  const storedAt = storageTimeOf(checkpoint)
  const syntheticId = syntheticLogId(Math.max(storedAt ?? oldestAt, oldestAt), prefix)
  if (syntheticId !== checkpoint) return move(syntheticId)

  // The refused checkpoint was already this synthetic log id, so Auth0 accepts no synthetic log id.
  const [newest] = (await deps.source.readNewest(signal)).entries
  const newestId = readLogId(newest)
  const newestAt = storageTimeOf(newestId)
  if (storedAt === null || newestId === null || newestAt === null) throw refusal
  return move(newestId, { from: Math.min(sweep?.from ?? storedAt, newestAt), to: newestAt + 1 })
}

/** Moves the checkpoint and reports the move. Returns `false`, and changes nothing, if the checkpoint is not `from`. */
export async function moveCheckpoint(
  { store, onFinding }: SyncDeps,
  from: string,
  to: string | null,
  sweep: Span | null,
): Promise<boolean> {
  const isMoved = await store.moveCheckpoint(from, to, sweep)
  if (isMoved) onFinding?.({ kind: 'checkpoint_replaced', from, to })
  return isMoved
}
