import type { LastLogoutStore } from '../../src/ports.js'
import { later } from '../../src/rules/instant.js'
import { type StoredProgress, toProgress } from '../../src/rules/progress.js'

/** Replaces the methods of a store that no poll calls. */
const notImplemented = async (): Promise<never> => {
  throw new Error('the in-memory store does not implement this method')
}

/** Creates a store for tests of polls. It keeps the progress of reading the log in memory, and stores no logouts. */
export function createMemoryStore(start: Partial<StoredProgress> = {}): LastLogoutStore {
  let progress: StoredProgress = {
    checkpoint: null,
    asOf: null,
    sweep: null,
    floorAt: null,
    lastPollAt: null,
    reconciledTo: null,
    now: Date.now(),
    ...start,
  }
  const update = (changes: Partial<StoredProgress>) => {
    progress = { ...progress, ...changes }
  }
  const read = () => toProgress({ ...progress, now: Date.now() })
  return {
    claim: notImplemented,
    readKnownLogouts: notImplemented,
    readChanges: notImplemented,
    raiseFloor: notImplemented,
    storeReported: notImplemented,
    forget: notImplemented,
    prune: notImplemented,
    acquireLease: async () => read(),
    releaseLease: async () => {},
    readProgress: async () => read(),
    readGaps: async () => [],
    count: async () => ({ users: 0, sessions: 0, unattributable: {}, gaps: 0, reconciled: 0 }),
    storeGap: async () => false,
    storeBatch: async () => 0,
    storeReconciled: async () => 0,
    finishReconcile: async (at) => update({ reconciledTo: at }),
    setFirstCheckpoint: async (checkpoint, sweep, startedAt) =>
      update({ checkpoint, sweep, reconciledTo: progress.reconciledTo ?? startedAt ?? null }),
    async moveCheckpoint(from, to, sweep) {
      if (progress.checkpoint !== from) return false
      update({ checkpoint: to, sweep })
      return true
    },
    async storePage({ from, next, storedAt, endsCatchUp }) {
      if (progress.checkpoint !== from) return false
      update({ checkpoint: next })
      // The log is known to have been read up to `asOf`. There is no such instant before the end of the first poll, and
      // during a sweep (a search for logouts in a span of time).
      const isRead = progress.sweep === null && (progress.asOf !== null || endsCatchUp === true)
      if (isRead) update({ asOf: later(progress.asOf, storedAt) })
      return true
    },
    async storeSweep(_batch, part) {
      const { sweep } = progress
      if (sweep?.to !== part.to) return false
      update({ sweep: sweep.from < part.from ? { from: sweep.from, to: part.from } : null })
      return true
    },
    async storeCaughtUp(checkpoint, requestedAt) {
      if (progress.checkpoint !== checkpoint) return null
      if (progress.sweep === null) update({ asOf: later(progress.asOf, requestedAt) })
      return read()
    },
  }
}
