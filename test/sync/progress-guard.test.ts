import { describe, expect, test } from 'vitest'
import { type Progress, toProgress } from '../../src/rules/progress.js'
import {
  createProgressGuard,
  type ProgressGuardOptions,
  type StartLoop,
} from '../../src/sync/progress-guard.js'

// A progress guard ends loops that repeat without progress. How far the log has been read is a position: the
// checkpoint, and the sweep, which is the span of the log that must still be searched. A loop calls `nextRound` before
// each round, which reads the position. A repeated round is idle if an earlier round of the run began at the same
// position. Three consecutive idle rounds end the run with an error.

const FAST_BACKOFF = { firstMs: 1, maxMs: 1 }
const BACKOFF_OF_AN_HOUR = { firstMs: 3_600_000, maxMs: 3_600_000 }
const NO_PROGRESS = { code: 'NO_PROGRESS' }

/** Returns the progress at a position. `sweepTo` is the end of the remaining sweep; `null`: no sweep remains. */
const progressAt = (checkpoint: string | null, sweepTo: number | null = null): Progress =>
  toProgress({
    checkpoint,
    asOf: null,
    sweep: sweepTo === null ? null : { from: 0, to: sweepTo },
    floorAt: null,
    lastPollAt: null,
    reconciledTo: null,
    now: 0,
  })

/**
 * Creates a guard, and returns a function that runs a body with it. Each read of the progress returns the next of
 * `positions`. After the last position, every read returns the last position.
 */
function createGuardedRun(options: ProgressGuardOptions = {}) {
  const guard = createProgressGuard({ limits: { backoff: FAST_BACKOFF }, ...options })
  return (positions: Progress[], body: (startLoop: StartLoop) => Promise<void>) => {
    let reads = 0
    const readProgress = async () =>
      positions[Math.min(reads++, positions.length - 1)] ?? progressAt(null)
    return guard.run(readProgress, new AbortController().signal, body)
  }
}

/** Returns the body of a run: one loop with this number of rounds. */
const repeat = (rounds: number) => async (startLoop: StartLoop) => {
  const nextRound = startLoop('catch-up')
  for (let round = 0; round < rounds; round++) await nextRound()
}

describe('a progress guard', () => {
  test('the guard ends a loop at the third idle round', async () => {
    const run = createGuardedRun()
    // The first round is never idle.
    await expect(run([progressAt('A', 9)], repeat(3))).resolves.toBeUndefined()
    await expect(run([progressAt('A', 9)], repeat(4))).rejects.toMatchObject(NO_PROGRESS)
  })

  test.each([
    [
      'the checkpoint has changed',
      [
        progressAt('A'),
        progressAt('A'),
        progressAt('A'),
        progressAt('B'),
        progressAt('B'),
        progressAt('B'),
      ],
    ],
    [
      'the end of the sweep has changed',
      [
        progressAt('A', 9),
        progressAt('A', 9),
        progressAt('A', 9),
        progressAt('A', 8),
        progressAt('A', 8),
        progressAt('A', 8),
      ],
    ],
    [
      'the sweep is complete',
      [
        progressAt('A', 9),
        progressAt('A', 9),
        progressAt('A', 9),
        progressAt('A'),
        progressAt('A'),
        progressAt('A'),
      ],
    ],
  ])('the guard counts idle rounds from zero when %s', async (_description, positions) => {
    await expect(createGuardedRun()(positions, repeat(6))).resolves.toBeUndefined()
    await expect(createGuardedRun()(positions, repeat(7))).rejects.toMatchObject(NO_PROGRESS)
  })

  test('the guard counts a round as idle if the checkpoint returned to an earlier one', async () => {
    const positions = [
      progressAt('A'),
      progressAt('B'),
      progressAt('A'),
      progressAt('B'),
      progressAt('A'),
    ]
    await expect(createGuardedRun()(positions, repeat(5))).rejects.toMatchObject(NO_PROGRESS)
  })

  test('the guard counts the idle rounds of all loops of a run together', async () => {
    const body = async (startLoop: StartLoop) => {
      for (let loop = 0; loop < 3; loop++) await repeat(2)(startLoop)
    }
    await expect(createGuardedRun()([progressAt('A')], body)).rejects.toMatchObject(NO_PROGRESS)
  })

  test('the guard does not count the first round of a loop as idle, even if many loops start at the same position', async () => {
    const body = async (startLoop: StartLoop) => {
      for (let loop = 0; loop < 100; loop++) await repeat(1)(startLoop)
    }
    await expect(createGuardedRun()([progressAt('A')], body)).resolves.toBeUndefined()
  })

  test('the guard ends a loop after eleven rounds, even with progress', async () => {
    // The limit is ten repeats. The first round is not a repeat.
    const positions = Array.from({ length: 20 }, (_, index) => progressAt(`${index}`))
    await expect(createGuardedRun()(positions, repeat(11))).resolves.toBeUndefined()
    await expect(createGuardedRun()(positions, repeat(12))).rejects.toMatchObject(NO_PROGRESS)
  })

  test('the error of an idle loop names the loop, the cause and the remedy', async () => {
    await expect(createGuardedRun()([progressAt('A')], repeat(4))).rejects.toThrow(
      /^The loop catch-up stopped after 3 rounds .+\. .+ than the one that was written\. Check that DATABASE_URL .+\.$/,
    )
  })

  test('the guard waits for the backoff before it reads the progress again', async () => {
    const backoffMs = 30
    // Timers of Node.js can fire slightly early.
    const minWaitMs = backoffMs - 2
    const readTimes: number[] = []
    const guard = createProgressGuard({
      limits: { backoff: { firstMs: backoffMs, maxMs: backoffMs } },
    })
    const readProgress = async () => {
      readTimes.push(performance.now())
      return progressAt('A')
    }
    await guard.run(readProgress, new AbortController().signal, repeat(3))
    const [first = 0, second = 0, third = 0] = readTimes
    expect(second - first).toBeGreaterThan(minWaitMs)
    expect(third - second).toBeGreaterThan(minWaitMs)
  })

  test('the guard stops waiting when its signal aborts', async () => {
    const stop = new AbortController()
    const guard = createProgressGuard({ limits: { backoff: BACKOFF_OF_AN_HOUR } })
    const running = guard.run(async () => progressAt('A'), stop.signal, repeat(2))
    stop.abort()
    await expect(running).rejects.toMatchObject({ code: 'ABORTED' })
  })

  test('onIdleRound receives isFirst = true only after a run without idle rounds', async () => {
    const firstFlags: boolean[] = []
    const run = createGuardedRun({
      onIdleRound: (_loop, isFirst) => {
        firstFlags.push(isFirst)
      },
    })
    // The first run of a guard counts as a run after a run without idle rounds.
    await run([progressAt('A')], repeat(2))
    await run([progressAt('A')], repeat(2))
    expect(firstFlags).toEqual([true, false])
    // One round cannot be idle.
    await run([progressAt('A')], repeat(1))
    await run([progressAt('A')], repeat(2))
    expect(firstFlags).toEqual([true, false, true])
  })
})
