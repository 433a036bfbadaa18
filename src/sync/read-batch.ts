import type { Batch, Unattributable } from '../rules/batch.js'
import { type LogoutEvent, readEntry, readLogId } from '../rules/entry.js'
import { fold } from '../rules/fold.js'

/** The logout events among entries, and the entries that cannot be used. */
export interface Reading {
  events: LogoutEvent[]
  unattributable: Unattributable[]
}

/** Reads entries. */
export function readEntries(entries: unknown[], types: ReadonlySet<string>): Reading {
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
  return { events, unattributable }
}

/** Folds logout events into a batch to be stored: one row per user, and one row per session. */
export function toBatch(readings: Reading[]): Batch {
  return {
    ...fold(readings.flatMap(({ events }) => events)),
    unattributable: readings.flatMap(({ unattributable }) => unattributable),
  }
}

/** The entry as JSON. An entry that was parsed from JSON can be nested too deeply for `JSON.stringify`. */
function toJson(entry: unknown): string {
  try {
    return JSON.stringify(entry)
  } catch {
    return '"nested too deeply to be kept"'
  }
}
