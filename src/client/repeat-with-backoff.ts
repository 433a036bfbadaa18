import { sleep } from './sleep.js'

/** Delay after a successful attempt, in milliseconds. It doubles with each consecutive failure. */
const MIN_BACKOFF_MS = 100

/** Maximum delay, in milliseconds. */
const MAX_BACKOFF_MS = 10_000

/** Maximum of `retryAfterMs`. After a longer time without data, checks would return `unknown`. */
const MAX_RETRY_AFTER_MS = 30_000

/** The result of an attempt. */
export interface AttemptResult {
  isSuccess: boolean
  /** How long the service asks to wait before the next attempt, in milliseconds. */
  retryAfterMs?: number | undefined
}

/**
 * Repeats an attempt with exponential backoff and jitter.
 *
 * @param attempt Never rejects. A failure doubles the delay before the next attempt. A success resets the delay. The delay
 *   is not shorter than `retryAfterMs`.
 * @returns A function that stops the repetition. It resolves when the current attempt has ended.
 */
export function repeatWithBackoff(attempt: () => Promise<AttemptResult>): () => Promise<void> {
  const controller = new AbortController()
  const repetition = repeat(attempt, controller.signal)
  return () => {
    controller.abort()
    return repetition
  }
}

async function repeat(attempt: () => Promise<AttemptResult>, signal: AbortSignal): Promise<void> {
  let failures = 0
  while (!signal.aborted) {
    const { isSuccess, retryAfterMs } = await attempt()
    failures = isSuccess ? 0 : failures + 1
    await sleep(delayMs(failures, retryAfterMs), signal)
  }
}

/**
 * Returns a random delay: from half of the backoff to the whole backoff, or up to half longer than `retryAfterMs` if this
 * is more. A restart of the service disconnects all clients at the same time. Random delays prevent them from reconnecting
 * at the same time.
 */
export function delayMs(failures: number, retryAfterMs = 0): number {
  const backoffMs = Math.min(MIN_BACKOFF_MS * 2 ** failures, MAX_BACKOFF_MS)
  const minMs = Math.min(retryAfterMs, MAX_RETRY_AFTER_MS)
  const share = Math.random() / 2
  return Math.max(backoffMs * (0.5 + share), minMs * (1 + share))
}
