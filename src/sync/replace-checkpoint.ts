import type { LastLogoutError } from '../errors.js'
import { readLogId } from '../rules/entry.js'
import { storageTimeOf, syntheticLogId } from '../rules/log-id.js'
import type { Span } from '../rules/span.js'
import type { SyncDeps } from './catch-up.js'
import { type GapOptions, recordGap } from './gaps.js'

/**
 * Replaces a checkpoint that Auth0 has refused. Reading continues from the storage time of the refused checkpoint. If
 * Auth0 no longer retains entries of that time, reading continues from the oldest entry. If Auth0 accepts no synthetic
 * log id, reading continues from the newest entry.
 *
 * @returns Whether the checkpoint was moved.
 * @throws `refusal` if there is no other position.
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
  const move = (to: string | null, rest = sweep) => moveCheckpoint(deps, checkpoint, to, rest)
  if (oldestAt === null) return move(null)

  const storedAt = storageTimeOf(checkpoint)
  const position = syntheticLogId(Math.max(storedAt ?? oldestAt, oldestAt), prefix)
  if (position !== checkpoint) return move(position)

  // The refused checkpoint is this synthetic id, so Auth0 accepts no synthetic ids. Pages are then read from the newest
  // entry on, and a sweep covers everything before that entry.
  const [newest] = (await deps.source.readNewest(signal)).entries
  const newestId = readLogId(newest)
  const newestAt = storageTimeOf(newestId)
  if (storedAt === null || newestId === null || newestAt === null) throw refusal
  return move(newestId, { from: Math.min(sweep?.from ?? storedAt, newestAt), to: newestAt + 1 })
}

/** Moves the checkpoint, and reports the move. If another poller has moved it, changes nothing and returns `false`. */
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
