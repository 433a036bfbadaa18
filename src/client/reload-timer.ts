/** Maximum delay of a timer, in milliseconds. A timer with a longer delay fires at once. */
const MAX_TIMER_MS = 2 ** 31 - 1

/** Jitter of the interval between two reloads: the interval is up to a tenth longer or shorter. */
const INTERVAL_JITTER = 0.1

/** Schedules the next reload. At most one reload is scheduled. */
export interface ReloadTimer {
  /** Schedules a reload after `reloadIntervalMs`, with jitter. Replaces a reload that is already scheduled. */
  scheduleNext(): void
  /** Schedules a reload after a random time up to `maxReloadDelayMs`, so that not all clients load at once. */
  scheduleSoon(): void
  stop(): void
}

/** Creates a timer without a scheduled reload. Times in milliseconds. */
export function createReloadTimer(
  { reloadIntervalMs, maxReloadDelayMs }: { reloadIntervalMs: number; maxReloadDelayMs: number },
  reload: () => void,
): ReloadTimer {
  let timer: ReturnType<typeof setTimeout> | undefined
  let scheduled: 'nothing' | 'next' | 'soon' = 'nothing'
  const schedule = (delayMs: number) => {
    clearTimeout(timer)
    timer = setTimeout(reload, Math.min(delayMs, MAX_TIMER_MS))
  }
  return {
    scheduleNext() {
      scheduled = 'next'
      schedule(reloadIntervalMs * (1 + (2 * Math.random() - 1) * INTERVAL_JITTER))
    },
    scheduleSoon() {
      // Repeated calls must not postpone the reload.
      if (scheduled === 'soon') return
      scheduled = 'soon'
      schedule(Math.random() * maxReloadDelayMs)
    },
    stop: () => clearTimeout(timer),
  }
}
