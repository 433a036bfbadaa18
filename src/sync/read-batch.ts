import type { Batch, Unattributable } from '../rules/batch.js'
import { type LogoutEvent, readEntry, readLogId } from '../rules/entry.js'
import { fold } from '../rules/fold.js'

/** Reads entries. Folds the logout events among them into one row per user, and one row per session. */
export function readBatch(entries: unknown[], types: ReadonlySet<string>): ReadBatch {
  const events: LogoutEvent[] = []
  const unattributable: Unattributable[] = []
  for (const entry of entries) {
    const reading = readEntry(entry, types)
    if (reading.kind === 'event') events.push(reading.event)
    if (reading.kind === 'unattributable') {
      const logId = readLogId(entry) ?? ''
      unattributable.push({ logId, reason: reading.reason, entry: toJson(entry) })
    }
  }
  return { batch: { ...fold(events), unattributable }, events }
}

/** A batch to be stored, and the logout events that it was folded from. */
interface ReadBatch {
  batch: Batch
  events: LogoutEvent[]
}

/** The entry as JSON. An entry that was parsed from JSON can be nested too deeply for `JSON.stringify`. */
function toJson(entry: unknown): string {
  try {
    return JSON.stringify(entry)
  } catch {
    return '"nested too deeply to be kept"'
  }
}
