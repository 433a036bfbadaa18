/** Tracks the failures of a repeated operation, so that a lasting failure is logged once, not at each attempt. */
export interface FailureTracker {
  isFailing(): boolean
  recordFailure(error: unknown): void
  recordSuccess(): void
}

/** Callbacks of a failure tracker. */
export interface FailureTrackerOptions {
  /** Called for each failure. `isFirst`: this kind of failure has not occurred since the last success. */
  onFailure(error: unknown, isFirst: boolean): void
  /** Called at the first success after a failure. `failingMs`: the time since the first failure, in milliseconds. */
  onRecovery(failingMs: number): void
  /** Returns the kind of a failure. Default: all failures are of one kind. */
  kindOf?(error: unknown): unknown
}

/** Creates a tracker without failures. */
export function createFailureTracker({
  onFailure,
  onRecovery,
  kindOf = () => undefined,
}: FailureTrackerOptions): FailureTracker {
  // Contains all kinds since the last success, so that alternating kinds are reported once each.
  const kinds = new Set<unknown>()
  let failingSince = 0
  return {
    isFailing: () => kinds.size > 0,
    recordFailure(error) {
      const kind = kindOf(error)
      const isFirst = !kinds.has(kind)
      if (kinds.size === 0) failingSince = performance.now()
      kinds.add(kind)
      onFailure(error, isFirst)
    },
    recordSuccess() {
      if (kinds.size === 0) return
      kinds.clear()
      onRecovery(Math.round(performance.now() - failingSince))
    },
  }
}
