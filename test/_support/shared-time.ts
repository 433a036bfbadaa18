import type { Clock } from './clock.js'

/**
 * Runs asynchronous functions, called flows, concurrently with one clock. The clock advances only while all flows wait.
 */
export interface SharedTime {
  /** Runs a flow. A flow calls `pass` to wait. */
  run<T>(flow: () => Promise<T>): Promise<T>
  /** Waits until the clock has advanced by `ms` milliseconds, and `onPassed` has run. */
  pass(ms: number): Promise<void>
}

/** A flow that waits for an instant. */
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
  let isAdvancing = false

  async function advanceWhileAllWait(): Promise<void> {
    if (isAdvancing) return
    isAdvancing = true
    while (waiting.length > 0 && waiting.length === flowCount) {
      const nextInstant = Math.min(...waiting.map(({ until }) => until))
      clock.pass(nextInstant - clock.now())
      const outcome = await onPassed().then(
        () => null,
        (error: unknown) => ({ error }),
      )
      const dueFlows = waiting.filter(({ until }) => until <= nextInstant)
      waiting = waiting.filter(({ until }) => until > nextInstant)
      for (const { resume, fail } of dueFlows) outcome === null ? resume() : fail(outcome.error)
    }
    isAdvancing = false
  }

  return {
    async run(flow) {
      flowCount++
      try {
        return await flow()
      } finally {
        flowCount--
        void advanceWhileAllWait()
      }
    },
    pass(ms) {
      return new Promise((resume, fail) => {
        waiting.push({ until: clock.now() + ms, resume, fail })
        void advanceWhileAllWait()
      })
    },
  }
}
