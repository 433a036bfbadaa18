import type { Batch, Unattributable } from '../rules/batch.js'
import { type LogoutEvent, readEntry, readLogId } from '../rules/entry.js'
import { fold } from '../rules/fold.js'

/** The logout events of some log entries, and the entries that may be logouts but cannot be used. */
export interface ReadEntries {
  events: LogoutEvent[]
  unattributable: Unattributable[]
}

/** Reads the logout events of entries. `types` are the event types that count as a logout. */
export function readEntries(entries: unknown[], types: ReadonlySet<string>): ReadEntries {
  const events: LogoutEvent[] = []
  const unattributable: Unattributable[] = []
  for (const entry of entries) {
    const result = readEntry(entry, types)
    if (result.kind === 'event') events.push(result.event)
    if (result.kind === 'unattributable') {
      const logId = readLogId(entry) ?? ''
      unattributable.push({ logId, reason: result.reason, entry: toJson(entry) })
    }
  }
  return { events, unattributable }
}

/** Folds logout events into a batch for the store, with one row per user and one row per session. */
export function toBatch(readings: ReadEntries[]): Batch {
  return {
    ...fold(readings.flatMap(({ events }) => events)),
    unattributable: readings.flatMap(({ unattributable }) => unattributable),
  }
}

/** Converts an entry to JSON. `JSON.stringify` throws for deeply nested values that `JSON.parse` accepts. */
function toJson(entry: unknown): string {
  try {
    return JSON.stringify(entry)
  } catch {
    return '"nested too deeply to be kept"'
  }
}
