/** A longer timer would fire at once, in milliseconds. */
const MAX_TIMER_MS = 2 ** 31 - 1

/** When everything is to be loaded anew. */
export interface ReloadTimer {
  /** After the interval, give or take a tenth. Replaces what was scheduled. */
  scheduleNext(): void
  /** Within `maxReloadDelayMs`, at random: the clients of a service must not all load at once. */
  scheduleSoon(): void
  stop(): void
}

/** Times in milliseconds. Nothing is scheduled yet. */
export function createReloadTimer(
  { reloadIntervalMs, maxReloadDelayMs }: { reloadIntervalMs: number; maxReloadDelayMs: number },
  reload: () => void,
): ReloadTimer {
  let timer: NodeJS.Timeout | undefined
  let isSoon = false
  const schedule = (delayMs: number) => {
    clearTimeout(timer)
    timer = setTimeout(reload, Math.min(delayMs, MAX_TIMER_MS))
  }
  return {
    scheduleNext() {
      isSoon = false
      schedule(reloadIntervalMs * (0.9 + Math.random() * 0.2))
    },
    scheduleSoon() {
      // What goes back again and again must not postpone the reload.
      if (isSoon) return
      isSoon = true
      schedule(Math.random() * maxReloadDelayMs)
    },
    stop: () => clearTimeout(timer),
  }
}
