import { setTimeout as sleep } from 'node:timers/promises'
import { abortedError, LastLogoutError } from '../../errors.js'

/** Timeout of a build of an Action, in milliseconds. */
export const BUILD_TIMEOUT_MS = 120_000

/** Default interval between two reads of the state of a build, in milliseconds. */
export const BUILD_POLL_INTERVAL_MS = 1_000

interface WaitOptions {
  /** The time of `performance.now()` at which the wait fails: {@link BUILD_TIMEOUT_MS} after the build began. */
  deadline: number
  /** Default: {@link BUILD_POLL_INTERVAL_MS}. */
  pollIntervalMs?: number | undefined
}

/**
 * Calls `isDone` at an interval until it returns true.
 *
 * @throws `ACTION_NOT_DEPLOYED` after the deadline; `ABORTED` when `signal` aborts.
 */
export async function waitUntil(
  isDone: () => Promise<boolean>,
  { deadline, pollIntervalMs = BUILD_POLL_INTERVAL_MS }: WaitOptions,
  signal: AbortSignal,
): Promise<void> {
  while (!(await isDone())) {
    if (performance.now() > deadline) {
      const message = `Auth0 did not build and deploy the Action within ${BUILD_TIMEOUT_MS / 1000} s. Run this command again.`
      throw new LastLogoutError('ACTION_NOT_DEPLOYED', message)
    }
    await sleep(pollIntervalMs, undefined, { signal }).catch((error) => {
      throw abortedError(error)
    })
  }
}
