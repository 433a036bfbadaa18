import type { Clock } from './clock.js'

/** Runs scenes concurrently on one clock. The clock moves only while all scenes wait. */
export interface SharedTime {
  /** Runs a scene. The clock moves only while the scene waits for `pass`. */
  run<T>(scene: () => Promise<T>): Promise<T>
  /** Resolves when the clock has advanced by `ms` milliseconds, and `onPassed` has run. */
  pass(ms: number): Promise<void>
}

interface Waiting {
  until: number
  resume(): void
  fail(error: unknown): void
}

/**
 * Creates a shared time. When every running scene waits, three things happen: the clock is set to the earliest
 * instant that a scene waits for, `onPassed` runs once, and the scenes that wait for this instant continue.
 */
export function createSharedTime(clock: Clock, onPassed: () => Promise<void>): SharedTime {
  let running = 0
  let waiting: Waiting[] = []
  let isPassing = false

  async function passWhileAllWait(): Promise<void> {
    if (isPassing) return
    isPassing = true
    while (waiting.length > 0 && waiting.length === running) {
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
    async run(scene) {
      running++
      try {
        return await scene()
      } finally {
        running--
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
