/** Minimum interval between two wake-ups, in milliseconds. */
const MIN_WAKE_INTERVAL_MS = 25

/** Wakes all streams at the same time. */
export interface WakeUp {
  /** Resolves at the next wake-up. */
  next(): Promise<void>
  /** Causes a wake-up: at once, or when {@link MIN_WAKE_INTERVAL_MS} have passed since the last wake-up. */
  schedule(): void
  /** Causes the last wake-up. */
  close(): void
}

/**
 * Creates a {@link WakeUp}. If nothing causes a wake-up for `maxIntervalMs`, a timer does.
 *
 * @param onWake Called at each wake-up, before the streams continue.
 */
export function createWakeUp(maxIntervalMs: number, onWake: () => void): WakeUp {
  let resolveNext = () => {}
  const createNext = () =>
    new Promise<void>((resolve) => {
      resolveNext = resolve
    })
  let next = createNext()
  let isScheduled = false
  /** Runs while {@link MIN_WAKE_INTERVAL_MS} have not passed since the last wake-up. */
  let timer: NodeJS.Timeout | undefined
  const heartbeat = setInterval(schedule, maxIntervalMs)

  function schedule(): void {
    isScheduled = true
    if (timer === undefined) wake()
  }

  function wake(): void {
    isScheduled = false
    timer = setTimeout(endInterval, MIN_WAKE_INTERVAL_MS)
    // A heartbeat just before a notification would delay the wake-up of the notification.
    heartbeat.refresh()
    onWake()
    resolveNext()
    next = createNext()
  }

  function endInterval(): void {
    timer = undefined
    if (isScheduled) wake()
  }

  return {
    next: () => next,
    schedule,
    close() {
      clearInterval(heartbeat)
      clearTimeout(timer)
      resolveNext()
    },
  }
}
