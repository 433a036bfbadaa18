import type { Clock } from './clock.js'

/** Runs scenes (asynchronous functions) concurrently on one clock. The clock moves only while all scenes wait. */
export interface SharedTime {
  /** Runs a scene. A scene calls `pass` to wait. */
  run<T>(scene: () => Promise<T>): Promise<T>
  /** Resolves when the clock has advanced by `ms` milliseconds, and `onPassed` has run. */
  pass(ms: number): Promise<void>
}

/** A scene that waits. */
interface WaitingScene {
  /** The instant that the scene waits for, in milliseconds since the epoch. */
  until: number
  resume(): void
  fail(error: unknown): void
}

/**
 * Creates a shared time. When every scene waits, three things happen: the clock is set to the earliest instant that a
 * scene waits for, `onPassed` runs once, and the scenes that wait for this instant continue.
 */
export function createSharedTime(clock: Clock, onPassed: () => Promise<void>): SharedTime {
  let sceneCount = 0
  let waiting: WaitingScene[] = []
  let isPassing = false

  async function passWhileAllWait(): Promise<void> {
    if (isPassing) return
    isPassing = true
    while (waiting.length > 0 && waiting.length === sceneCount) {
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
      sceneCount++
      try {
        return await scene()
      } finally {
        sceneCount--
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
