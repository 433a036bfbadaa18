import { type Backoff, backOff } from '../async/backoff.js'
import { LastLogoutError } from '../errors.js'
import type { Progress } from '../rules/progress.js'

/** A loop that reads the log. It starts another round if the store has not accepted the entries. */
export type SyncLoop = 'catch-up' | 'sweep' | 'replace-checkpoint'

/**
 * Starts a loop.
 *
 * @returns A function to be called before each round. It returns the stored progress. From the second round on, it first
 *   waits with backoff. It throws `NO_PROGRESS`, or `ABORTED` if the signal aborts during a wait.
 */
export type StartLoop = (loop: SyncLoop) => () => Promise<Progress>

/** The limits at which the guard ends a loop. */
export interface ProgressLimits {
  /** Maximum number of consecutive rounds without progress. Default: 3. */
  maxIdleRounds: number
  /**
   * Maximum number of repeated rounds in one run, even if other processes make progress. Default: 10. With the default
   * backoff, these rounds take longer than the time in which two processes can both assume that they hold the lease.
   */
  maxRepeats: number
  /** Backoff between two rounds. Default: 500 ms to 5,000 ms. */
  backoff: Backoff
}

const LIMITS: ProgressLimits = {
  maxIdleRounds: 3,
  maxRepeats: 10,
  backoff: { firstMs: 500, maxMs: 5_000 },
}

/** Options of a progress guard. */
export interface ProgressGuardOptions {
  limits?: Partial<ProgressLimits> | undefined
  /** Called for each idle round. `isFirst`: it is the first idle round since a successful run without idle rounds. */
  onIdleRound?(loop: SyncLoop, isFirst: boolean): void
}

/** Slows down and ends loops that repeat without progress. */
export interface ProgressGuard {
  /** Runs `body`, which starts its loops with `startLoop`. */
  run(
    readProgress: () => Promise<Progress>,
    signal: AbortSignal,
    body: (startLoop: StartLoop) => Promise<void>,
  ): Promise<void>
}

/**
 * Creates a guard for the runs of one process.
 *
 * A round makes progress if it finds a checkpoint or a sweep that this run has not found before, no matter which process
 * has moved it. A round without progress is idle. All loops of a run share one count of consecutive idle rounds. A failed
 * run keeps the count, and a successful run resets it. So while the database does not keep the rows, each further run
 * ends at its first idle round.
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
      const knownPositions = new Set<string>()
      let repeats = 0
      let wasIdle = false

      /** Whether a checkpoint or a sweep is new to this run. */
      const isNewPosition = ({ checkpoint, sweep }: Progress): boolean => {
        const position = JSON.stringify([checkpoint, sweep])
        if (knownPositions.has(position)) return false
        if (knownPositions.size > 0) idleRounds = 0
        knownPositions.add(position)
        return true
      }

      const countIdle = (loop: SyncLoop): void => {
        idleRounds += 1
        onIdleRound?.(loop, !isReported)
        isReported = true
        wasIdle = true
        if (idleRounds >= maxIdleRounds) throw idleError(loop, idleRounds)
      }

      await body((loop) => {
        let isRepeat = false
        return async () => {
          if (isRepeat) {
            if (repeats >= maxRepeats) throw repeatedError(loop, repeats)
            await backOff(repeats, backoff, signal)
            repeats += 1
          }
          const progress = await readProgress()
          if (!isNewPosition(progress) && isRepeat) countIdle(loop)
          isRepeat = true
          return progress
        }
      })
      idleRounds = 0
      isReported = wasIdle
    },
  }
}

function idleError(loop: SyncLoop, rounds: number): LastLogoutError {
  return new LastLogoutError(
    'NO_PROGRESS',
    `The loop ${loop} stopped after ${rounds} rounds without progress. ` +
      'The database returns another checkpoint or sweep than the one that was written. ' +
      'Check that DATABASE_URL leads to the primary PostgreSQL server, not to a replica, and run `last-logout doctor`.',
  )
}

function repeatedError(loop: SyncLoop, rounds: number): LastLogoutError {
  return new LastLogoutError(
    'NO_PROGRESS',
    `The loop ${loop} stopped after it had started again ${rounds} times. ` +
      'Another process keeps moving the checkpoint or the sweep, or DATABASE_URL leads to a replica that is behind. ' +
      'Let one installation read the log of this tenant, and check that DATABASE_URL leads to the primary PostgreSQL server.',
  )
}
