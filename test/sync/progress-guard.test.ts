import { describe, expect, test } from 'vitest'
import { type Progress, toProgress } from '../../src/rules/progress.js'
import {
  createProgressGuard,
  type ProgressGuardOptions,
  type StartLoop,
} from '../../src/sync/progress-guard.js'

const FAST = { backoff: { firstMs: 1, maxMs: 1 } }
const { signal } = new AbortController()

const progressAt = (checkpoint: string | null, to: number | null = null): Progress =>
  toProgress({
    checkpoint,
    asOf: null,
    sweep: to === null ? null : { from: 0, to },
    floorAt: null,
    lastPollAt: null,
    reconciledTo: null,
    now: 0,
  })

/** Creates a guarded run. Each read of the progress returns the next position. The last position is repeated. */
function createGuardedRun(options: ProgressGuardOptions = {}) {
  const guard = createProgressGuard({ limits: FAST, ...options })
  return (positions: Progress[], body: (startLoop: StartLoop) => Promise<void>) => {
    let reads = 0
    const readProgress = async () =>
      positions[Math.min(reads++, positions.length - 1)] ?? progressAt(null)
    return guard.run(readProgress, signal, body)
  }
}

/** Returns a body of one loop with this number of rounds. */
const repeat = (rounds: number) => async (startLoop: StartLoop) => {
  const nextRound = startLoop('catch-up')
  for (let round = 0; round < rounds; round++) await nextRound()
}

const NO_PROGRESS = { code: 'NO_PROGRESS' }

describe('a progress guard', () => {
  test('the guard ends a loop after three rounds without a new checkpoint or sweep', async () => {
    const run = createGuardedRun()
    await expect(run([progressAt('A', 9)], repeat(3))).resolves.toBeUndefined()
    await expect(run([progressAt('A', 9)], repeat(4))).rejects.toMatchObject(NO_PROGRESS)
  })

  test.each([
    [
      'the checkpoint',
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
      'the sweep',
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
      'the end of the sweep',
      [
        progressAt('A', 9),
        progressAt('A', 9),
        progressAt('A', 9),
        progressAt('A'),
        progressAt('A'),
        progressAt('A'),
      ],
    ],
  ])('the guard resets its count when %s has changed', async (_description, positions) => {
    await expect(createGuardedRun()(positions, repeat(6))).resolves.toBeUndefined()
    await expect(createGuardedRun()(positions, repeat(7))).rejects.toMatchObject(NO_PROGRESS)
  })

  test('the guard does not count a return to an earlier position as progress', async () => {
    const positions = [
      progressAt('A'),
      progressAt('B'),
      progressAt('A'),
      progressAt('B'),
      progressAt('A'),
    ]
    await expect(createGuardedRun()(positions, repeat(5))).rejects.toMatchObject(NO_PROGRESS)
  })

  test('the guard counts the rounds of all loops of a run together', async () => {
    const body = async (startLoop: StartLoop) => {
      for (let loop = 0; loop < 3; loop++) await repeat(2)(startLoop)
    }
    await expect(createGuardedRun()([progressAt('A')], body)).rejects.toMatchObject(NO_PROGRESS)
  })

  test('loops can start at the same position any number of times', async () => {
    const body = async (startLoop: StartLoop) => {
      for (let loop = 0; loop < 100; loop++) await repeat(1)(startLoop)
    }
    await expect(createGuardedRun()([progressAt('A')], body)).resolves.toBeUndefined()
  })

  test('the guard ends a loop at its twelfth round, even with progress', async () => {
    const positions = Array.from({ length: 20 }, (_, index) => progressAt(`${index}`))
    await expect(createGuardedRun()(positions, repeat(11))).resolves.toBeUndefined()
    await expect(createGuardedRun()(positions, repeat(12))).rejects.toMatchObject(NO_PROGRESS)
  })

  test('the error of the guard names the loop, the cause and the remedy', async () => {
    await expect(createGuardedRun()([progressAt('A')], repeat(4))).rejects.toThrow(
      /^The loop catch-up stopped after 3 rounds .+\. .+ than the one that was written\. Check that DATABASE_URL .+\.$/,
    )
  })

  test('the guard reads the progress after the backoff', async () => {
    const readAt: number[] = []
    const guard = createProgressGuard({ limits: { backoff: { firstMs: 30, maxMs: 30 } } })
    const readProgress = async () => {
      readAt.push(performance.now())
      return progressAt('A')
    }
    await guard.run(readProgress, signal, repeat(3))
    const [firstAt = 0, secondAt = 0, thirdAt = 0] = readAt
    expect(secondAt - firstAt).toBeGreaterThan(28)
    expect(thirdAt - secondAt).toBeGreaterThan(28)
  })

  test('the guard stops waiting when its signal aborts', async () => {
    const stop = new AbortController()
    const guard = createProgressGuard({
      limits: { backoff: { firstMs: 3_600_000, maxMs: 3_600_000 } },
    })
    const running = guard.run(async () => progressAt('A'), stop.signal, repeat(2))
    stop.abort()
    await expect(running).rejects.toMatchObject({ code: 'ABORTED' })
  })

  test('the guard reports an idle round as the first if the previous run had no idle round', async () => {
    const reports: boolean[] = []
    const run = createGuardedRun({ onIdleRound: (_loop, isFirst) => void reports.push(isFirst) })
    await run([progressAt('A')], repeat(2))
    await run([progressAt('A')], repeat(2))
    expect(reports).toEqual([true, false])
    await run([progressAt('A')], repeat(1))
    await run([progressAt('A')], repeat(2))
    expect(reports).toEqual([true, false, true])
  })
})
