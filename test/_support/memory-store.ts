import type { LastLogoutStore } from '../../src/ports.js'
import { later } from '../../src/rules/instant.js'
import { type StoredProgress, toProgress } from '../../src/rules/progress.js'

/** Stands for the methods of a store that no poll calls. */
const unused = async (): Promise<never> => {
  throw new Error('the in-memory store does not implement this method')
}

/** Creates a store that keeps the progress in memory and discards entries. */
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
  const set = (changed: Partial<StoredProgress>) => {
    progress = { ...progress, ...changed }
  }
  const read = () => toProgress({ ...progress, now: Date.now() })
  return {
    claim: unused,
    readKnownLogouts: unused,
    readChanges: unused,
    raiseFloor: unused,
    storeReported: unused,
    forget: unused,
    prune: unused,
    acquireLease: async () => read(),
    releaseLease: async () => {},
    readProgress: async () => read(),
    readGaps: async () => [],
    count: async () => ({ users: 0, sessions: 0, unattributable: {}, gaps: 0, reconciled: 0 }),
    storeGap: async () => false,
    storeBatch: async () => 0,
    storeReconciled: async () => 0,
    finishReconcile: async (at) => set({ reconciledTo: at }),
    setFirstCheckpoint: async (checkpoint, sweep) => set({ checkpoint, sweep }),
    async moveCheckpoint(from, to, sweep) {
      if (progress.checkpoint !== from) return false
      set({ checkpoint: to, sweep })
      return true
    },
    async storePage({ from, next, storedAt, endsCatchUp }) {
      if (progress.checkpoint !== from) return false
      set({ checkpoint: next })
      const isRead = progress.sweep === null && (progress.asOf !== null || endsCatchUp === true)
      if (isRead) set({ asOf: later(progress.asOf, storedAt) })
      return true
    },
    async storeSweep(_batch, part) {
      const { sweep } = progress
      if (sweep?.to !== part.to) return false
      set({ sweep: sweep.from < part.from ? { from: sweep.from, to: part.from } : null })
      return true
    },
    async storeCaughtUp(checkpoint, requestedAt) {
      if (progress.checkpoint !== checkpoint) return null
      if (progress.sweep === null) set({ asOf: later(progress.asOf, requestedAt) })
      return read()
    },
  }
}
