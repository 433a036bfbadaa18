/** Detects that a connection delivers no more data. */
export interface SilenceTimer {
  /** Records that data has arrived. */
  restart(): void
  stop(): void
}

/**
 * Starts a timer that calls `onSilence` when the last data arrived `timeoutMs` milliseconds ago.
 *
 * Each piece of the feed calls `restart`, so `restart` only reads the clock. The running timer starts again for the rest
 * of the time.
 */
export function startSilenceTimer(timeoutMs: number, onSilence: () => void): SilenceTimer {
  let lastDataAt = performance.now()
  let timer = setTimeout(check, timeoutMs)

  function check(): void {
    const remainingMs = lastDataAt + timeoutMs - performance.now()
    if (remainingMs <= 0) onSilence()
    else timer = setTimeout(check, remainingMs)
  }

  return {
    restart() {
      lastDataAt = performance.now()
    },
    stop: () => clearTimeout(timer),
  }
}
