import { sleep } from './sleep.js'

/** Delay after a successful attempt, in milliseconds. It doubles with each failure in a row. */
const MIN_BACKOFF_MS = 100
const MAX_BACKOFF_MS = 10_000

/**
 * Repeats an attempt with exponential backoff and jitter, until stopped.
 *
 * @param attempt Resolves to `true` if it was successful, else to `false`. A failure doubles the delay before the next
 *   attempt, a success resets the delay.
 * @returns A function that stops the repetition and resolves when the current attempt has ended.
 */
export function repeatWithBackoff(attempt: () => Promise<boolean>): () => Promise<void> {
  const controller = new AbortController()
  const repetition = repeat(attempt, controller.signal)
  return () => {
    controller.abort()
    return repetition
  }
}

async function repeat(attempt: () => Promise<boolean>, signal: AbortSignal): Promise<void> {
  let failures = 0
  while (!signal.aborted) {
    failures = (await attempt()) ? 0 : failures + 1
    await sleep(backoffMs(failures), signal)
  }
}

/**
 * Returns a random delay between half the backoff and all of it. When the service restarts, it disconnects all clients
 * at the same time. The random delays keep them from reconnecting at the same time.
 */
function backoffMs(failures: number): number {
  return Math.min(MIN_BACKOFF_MS * 2 ** failures, MAX_BACKOFF_MS) * (0.5 + Math.random() / 2)
}
