import type { Clock } from './clock.js'

/** The time of scenes that are played beside each other on one clock: it passes while all of them wait. */
export interface SharedTime {
  /** Plays a scene: while it does anything but `pass`, the clock stands. */
  play<T>(scene: () => Promise<T>): Promise<T>
  /** Resolves when so much time has passed, in milliseconds, and what comes then has been done. */
  pass(ms: number): Promise<void>
}

interface Waiting {
  until: number
  resume(): void
  fail(error: unknown): void
}

/**
 * When every scene waits, the clock is set to the earliest instant that one waits for, `onPassed` is
 * run once for all of them, and those whose instant has come go on.
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
