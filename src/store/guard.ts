import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'
import { createFailureTracker } from '../async/failure-tracker.js'
import { aborted, hasCode } from '../errors.js'
import { unavailable } from '../pg/unavailable.js'
import type { LastLogoutStore } from '../ports.js'
import { mayComeBack } from './database.js'

/** The first and the longest wait before asking again, in milliseconds. */
const FIRST_WAIT_MS = 500
const LONGEST_WAIT_MS = 5_000

/** An outage is over when nothing has failed for so long, in milliseconds: some queries may pass in its course. */
const CALM_MS = 2_000

/** A store that is closed until its database is known to be the right one, and says when that is away. */
export interface GuardedStore {
  store: LastLogoutStore
  /** Takes the database for the tenant; from then on the store answers. */
  open(): Promise<void>
}

/**
 * Before `open` every call fails with `DATABASE_UNAVAILABLE`; from then on the log is told of an
 * outage when it begins and when it is over. `assertUsable` throws where the database must not be used.
 */
export function guardStore(
  inner: LastLogoutStore,
  assertUsable: () => Promise<void>,
  log: Logger,
): GuardedStore {
  const outage = createOutage(log)
  let isOpen = false
  const guard =
    (call: (...args: unknown[]) => Promise<unknown>) =>
    async (...args: unknown[]) => {
      if (!isOpen) throw unavailable(new Error('the database has not been opened yet'))
      try {
        const answer = await call(...args)
        outage.recordSuccess()
        return answer
      } catch (error) {
        if (hasCode(error, 'DATABASE_UNAVAILABLE')) outage.recordFailure(error)
        throw error
      }
    }
  const guarded = Object.entries(inner).map(([name, call]) => [name, guard(call)])
  return {
    store: Object.fromEntries(guarded),
    async open() {
      await assertUsable()
      await inner.claim()
      isOpen = true
    },
  }
}

function createOutage(log: Logger) {
  let failedAt = 0
  const trouble = createFailureTracker({
    onFailure(err, isNew) {
      if (isNew) {
        log.error({ err }, 'postgresql cannot be used: until it can, nothing is read or answered')
      }
    },
    onRecovery: (awayMs) => log.info({ awayMs }, 'postgresql is back'),
  })
  return {
    recordFailure(error: unknown) {
      failedAt = performance.now()
      trouble.recordFailure(error)
    },
    recordSuccess() {
      if (performance.now() - failedAt >= CALM_MS) trouble.recordSuccess()
    },
  }
}

/**
 * Opens a database, once; where it may come back by itself, and `waits`, what is returned goes on until
 * that has succeeded, or throws `ABORTED` at the signal.
 */
export async function openOrWait(
  open: () => Promise<void>,
  { waits, log }: { waits: boolean; log: Logger },
): Promise<(signal: AbortSignal) => Promise<void>> {
  try {
    await open()
    return async () => {}
  } catch (err) {
    if (!waits || !mayComeBack(err)) throw err
    log.warn({ err }, 'postgresql cannot be used yet: waiting for it')
    return (signal) => keepOpening(open, log, signal)
  }
}

async function keepOpening(
  open: () => Promise<void>,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  for (let waitMs = FIRST_WAIT_MS; ; waitMs = Math.min(waitMs * 2, LONGEST_WAIT_MS)) {
    await sleep(waitMs, undefined, { signal }).catch((error) => {
      throw aborted(error)
    })
    try {
      await open()
      return log.info('postgresql is there')
    } catch (error) {
      if (!mayComeBack(error)) throw error
    }
  }
}
