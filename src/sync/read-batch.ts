import type { Batch, Unattributable } from '../ports.js'
import { type LogoutEvent, readEntry, readLogId } from '../rules/entry.js'
import { fold } from '../rules/fold.js'

/** Reads entries, and folds the logout events among them into one row per subject. */
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
  return { batch: { ...fold(events), unattributable }, events: events.length, logouts: events }
}

/** What a number of entries come to. */
export interface ReadBatch {
  batch: Batch
  /** How many of the entries are logout events. */
  events: number
  /** Those events. */
  logouts: LogoutEvent[]
}

/** JSON that was parsed may be nested too deeply to be written again. */
function toJson(entry: unknown): string {
  try {
    return JSON.stringify(entry)
  } catch {
    return '"nested too deeply to be kept"'
  }
}
