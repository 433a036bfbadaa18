import type { Clock } from './clock.js'

/**
 * Runs asynchronous functions, called flows, concurrently with one clock. The clock moves only while all flows wait.
 */
export interface SharedTime {
  /** Runs a flow. A flow calls `pass` to wait. */
  run<T>(flow: () => Promise<T>): Promise<T>
  /** Waits until the clock has advanced by `ms` milliseconds, and `onPassed` has run. */
  pass(ms: number): Promise<void>
}

/** A flow that waits. */
interface WaitingFlow {
  /** The instant that the flow waits for, in milliseconds since the epoch. */
  until: number
  resume(): void
  fail(error: unknown): void
}

/**
 * Creates a shared time. When every flow waits, three things happen:
 *
 * 1. The clock is set to the earliest instant that a flow waits for.
 * 2. `onPassed` runs once.
 * 3. The flows that wait for this instant continue.
 */
export function createSharedTime(clock: Clock, onPassed: () => Promise<void>): SharedTime {
  let flowCount = 0
  let waiting: WaitingFlow[] = []
  let isPassing = false

  async function passWhileAllWait(): Promise<void> {
    if (isPassing) return
    isPassing = true
    while (waiting.length > 0 && waiting.length === flowCount) {
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
    async run(flow) {
      flowCount++
      try {
        return await flow()
      } finally {
        flowCount--
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
