import { setTimeout as sleep } from 'node:timers/promises'
import { aborted, LastLogoutError } from '../../errors.js'

/** How long a build of an Action may take, in milliseconds. */
export const BUILD_PATIENCE_MS = 120_000

/** How often a build is looked at, in milliseconds. */
export const BUILD_POLL_MS = 1_000

interface WaitOptions {
  /** By `performance.now()`. */
  deadline: number
  /** Default: {@link BUILD_POLL_MS}. */
  pollMs?: number | undefined
}

/** Looks until it is done. Throws `ACTION_NOT_DEPLOYED` past the deadline, or `ABORTED`. */
export async function waitUntil(
  isDone: () => Promise<boolean>,
  { deadline, pollMs = BUILD_POLL_MS }: WaitOptions,
  signal: AbortSignal,
): Promise<void> {
  while (!(await isDone())) {
    if (performance.now() > deadline) {
      const message = `Auth0 has not built the Action within ${BUILD_PATIENCE_MS / 1000} s: run this again`
      throw new LastLogoutError('ACTION_NOT_DEPLOYED', message)
    }
    await sleep(pollMs, undefined, { signal }).catch((error) => {
      throw aborted(error)
    })
  }
}
