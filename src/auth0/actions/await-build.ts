import { setTimeout as sleep } from 'node:timers/promises'
import { aborted, LastLogoutError } from '../../errors.js'

/** How long a build of an Action may take, in milliseconds. */
export const BUILD_PATIENCE_MS = 120_000

/** How often a build is looked at, in milliseconds. */
const LOOK_EVERY_MS = 1_000

/** Looks until it is done. Throws `ACTION_NOT_DEPLOYED` past the deadline (`performance.now()`), or `ABORTED`. */
export async function waitUntil(
  isDone: () => Promise<boolean>,
  deadline: number,
  signal: AbortSignal,
): Promise<void> {
  while (!(await isDone())) {
    if (performance.now() > deadline) {
      const message = `Auth0 has not built the Action within ${BUILD_PATIENCE_MS / 1000} s: run this again`
      throw new LastLogoutError('ACTION_NOT_DEPLOYED', message)
    }
    await sleep(LOOK_EVERY_MS, undefined, { signal }).catch((error) => {
      throw aborted(error)
    })
  }
}
