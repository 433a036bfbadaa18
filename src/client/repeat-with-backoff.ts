import { sleep } from './sleep.js'

/** Delay after a successful attempt, in milliseconds. Each consecutive failure doubles the delay. */
const MIN_BACKOFF_MS = 100

/** Maximum delay, in milliseconds. */
const MAX_BACKOFF_MS = 10_000

/** Upper limit of `retryAfterMs`, in milliseconds. With its random part, the delay stays below `MAX_BACKOFF_MS`. */
const MAX_RETRY_AFTER_MS = 6_500

/** The result of an attempt. */
export interface AttemptResult {
  isSuccess: boolean
  /** The minimum delay before the next attempt, as requested by the service, in milliseconds. Default: 0. */
  retryAfterMs?: number | undefined
}

/**
 * Repeats an attempt with exponential backoff and jitter.
 *
 * @param attempt Never rejects. A failure doubles the delay before the next attempt. A success resets the delay.
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
 * Returns a random delay, because a restart of the service disconnects all clients, and they must not reconnect at the
 * same time. The delay is between 50 % and 100 % of the backoff, and between 100 % and 150 % of `retryAfterMs` if that
 * is longer.
 */
export function delayMs(failures: number, retryAfterMs = 0): number {
  const backoffMs = Math.min(MIN_BACKOFF_MS * 2 ** failures, MAX_BACKOFF_MS)
  const minMs = Math.min(retryAfterMs, MAX_RETRY_AFTER_MS)
  const share = Math.random() / 2
  return Math.max(backoffMs * (0.5 + share), minMs * (1 + share))
}
