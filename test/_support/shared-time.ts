import type { Clock } from './clock.js'

/** Runs scenes concurrently on one clock, which moves only while all of them wait. */
export interface SharedTime {
  /** Runs a scene. The clock stands still while the scene does anything but `pass`. */
  play<T>(scene: () => Promise<T>): Promise<T>
  /** Resolves when this time has passed, in milliseconds, and `onPassed` has run. */
  pass(ms: number): Promise<void>
}

interface Waiting {
  until: number
  resume(): void
  fail(error: unknown): void
}

/**
 * Creates the time of concurrent scenes. When every scene waits, the clock is set to the earliest instant
 * that a scene waits for, `onPassed` runs once, and the scenes that wait for this instant continue.
 */
export function createSharedTime(clock: Clock, onPassed: () => Promise<void>): SharedTime {
  let playing = 0
  let waiting: Waiting[] = []
  let isPassing = false

  async function passWhileAllWait(): Promise<void> {
    if (isPassing) return
    isPassing = true
    while (waiting.length > 0 && waiting.length === playing) {
      const next = Math.min(...waiting.map(({ until }) => until))
      clock.pass(next - clock.now())
      const outcome = await onPassed().then(
        () => null,
        (error: unknown) => ({ error }),
      )
      const due = waiting.filter(({ until }) => until <= next)
      waiting = waiting.filter(({ until }) => until > next)
      for (const { resume, fail } of due) outcome === null ? resume() : fail(outcome.error)
    }
    isPassing = false
  }

  return {
    async play(scene) {
      playing++
      try {
        return await scene()
      } finally {
        playing--
        void passWhileAllWait()
      }
    },
    pass(ms) {
      return new Promise((resume, fail) => {
        waiting.push({ until: clock.now() + ms, resume, fail })
        void passWhileAllWait()
      })
    },
  }
}
