import { sleep } from './sleep.js'

/** Delay after a successful attempt, in milliseconds. It doubles with each consecutive failure. */
const MIN_BACKOFF_MS = 100

/** Maximum delay, in milliseconds. */
const MAX_BACKOFF_MS = 10_000

/**
 * Repeats an attempt with exponential backoff and jitter.
 *
 * @param attempt Resolves to whether it was successful. A failure doubles the delay before the next attempt. A success
 *   resets the delay.
 * @returns A function that stops the repetition. It resolves when the current attempt has ended.
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
 * Returns a random delay from half of the backoff to the whole backoff. A restart of the service disconnects all clients
 * at the same time. Random delays prevent them from reconnecting at the same time.
 */
function backoffMs(failures: number): number {
  return Math.min(MIN_BACKOFF_MS * 2 ** failures, MAX_BACKOFF_MS) * (0.5 + Math.random() / 2)
}
