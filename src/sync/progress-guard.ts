import { type Backoff, backOff } from '../async/backoff.js'
import { LastLogoutError } from '../errors.js'
import type { Progress } from '../ports.js'

/** A loop that reads the log, and starts over when the store did not take what it read. */
export type SyncLoop = 'catch-up' | 'sweep' | 'replace-checkpoint'

/**
 * Starts a loop. The function that it returns is called before each round: it reads the progress, and
 * from the second round on it backs off first. It throws `NO_PROGRESS`, or `ABORTED` while it waits.
 */
export type StartLoop = (loop: SyncLoop) => () => Promise<Progress>

/** When loops that start over are ended. */
export interface ProgressLimits {
  /** Rounds without progress in a row. Default: 3. */
  maxIdleRounds: number
  /**
   * How often the loops of one run start over, whatever progress other processes make. Default: 10. By
   * then more time has passed than two processes can both hold the lease.
   */
  maxRepeats: number
  /** The wait before a loop starts over. Default: 500 ms at first, 5,000 ms at most. */
  backoff: Backoff
}

const LIMITS: ProgressLimits = {
  maxIdleRounds: 3,
  maxRepeats: 10,
  backoff: { firstMs: 500, maxMs: 5_000 },
}

/** What a progress guard is made of. */
export interface ProgressGuardOptions {
  limits?: Partial<ProgressLimits> | undefined
  /** Called for every round without progress. `isFirst`: the first one since a run had none. */
  onIdleRound?(loop: SyncLoop, isFirst: boolean): void
}

/** Slows down loops that repeat without progress, and ends them. */
export interface ProgressGuard {
  /** Runs `body`, whose loops start with `startLoop`. */
  run(
    readProgress: () => Promise<Progress>,
    signal: AbortSignal,
    body: (startLoop: StartLoop) => Promise<void>,
  ): Promise<void>
}

/**
 * A guard for the runs of one process.
 *
 * Progress is a checkpoint or a sweep that this run has not seen before, also where another process moved it. A round
 * without progress is idle. Idle rounds are counted over all loops of a run, and over runs that fail:
 * while the store stays broken, each further run ends at its first idle round. A run that ends well
 * sets the count back.
 */
export function createProgressGuard({
  limits,
  onIdleRound,
}: ProgressGuardOptions = {}): ProgressGuard {
  const { maxIdleRounds, maxRepeats, backoff } = { ...LIMITS, ...limits }
  let idleRounds = 0
  let isReported = false

  return {
    async run(readProgress, signal, body) {
      const seen = new Set<string>()
      let repeats = 0
      let wasIdle = false

      /** Whether the run has moved on since it was last asked; always true at its first place. */
      const hasMoved = ({ checkpoint, sweep }: Progress): boolean => {
        const place = JSON.stringify([checkpoint, sweep])
        if (seen.has(place)) return false
        if (seen.size > 0) idleRounds = 0
        seen.add(place)
        return true
      }

      const countIdle = (loop: SyncLoop): void => {
        idleRounds += 1
        onIdleRound?.(loop, !isReported)
        isReported = true
        wasIdle = true
        if (idleRounds >= maxIdleRounds) throw idle(loop, idleRounds)
      }

      await body((loop) => {
        let isRepeat = false
        return async () => {
          if (isRepeat) {
            if (repeats >= maxRepeats) throw superseded(loop, repeats)
            await backOff(repeats, backoff, signal)
            repeats += 1
          }
          const progress = await readProgress()
          if (!hasMoved(progress) && isRepeat) countIdle(loop)
          isRepeat = true
          return progress
        }
      })
      idleRounds = 0
      isReported = wasIdle
    },
  }
}

function idle(loop: SyncLoop, rounds: number): LastLogoutError {
  return new LastLogoutError(
    'NO_PROGRESS',
    `The loop ${loop} stopped after ${rounds} rounds without progress. ` +
      'The checkpoint or the sweep that is read from the database is not the one that was written. ' +
      'Check that DATABASE_URL leads to the primary PostgreSQL server, not to a replica, and run last-logout doctor.',
  )
}

function superseded(loop: SyncLoop, rounds: number): LastLogoutError {
  return new LastLogoutError(
    'NO_PROGRESS',
    `The loop ${loop} stopped after it had started over ${rounds} times. ` +
      'Another process keeps moving the checkpoint or the sweep, or the database is read from a replica that is behind. ' +
      'Let one installation read the log of this tenant, and check that DATABASE_URL leads to the primary PostgreSQL server.',
  )
}
