/** Tracks the failures of a repeated operation, so that a lasting failure is logged once, not at each attempt. */
export interface FailureTracker {
  isFailing(): boolean
  recordFailure(error: unknown): void
  recordSuccess(): void
}

/** Callbacks of a failure tracker. */
export interface FailureTrackerOptions {
  /** Called for each failure. `isFirst`: whether this is the first failure of its kind since the last success. */
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
  // All kinds of failures since the last success. If two kinds alternate, each kind is reported once.
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
