import { describe, expect, test } from 'vitest'
import { type Progress, toProgress } from '../../src/rules/progress.js'
import {
  createProgressGuard,
  type ProgressGuardOptions,
  type StartLoop,
} from '../../src/sync/progress-guard.js'

const FAST = { backoff: { firstMs: 1, maxMs: 1 } }
const { signal } = new AbortController()

const at = (checkpoint: string | null, to: number | null = null): Progress =>
  toProgress({
    checkpoint,
    asOf: null,
    sweep: to === null ? null : { from: 0, to },
    floorAt: null,
    lastPollAt: null,
    reconciledTo: null,
    now: 0,
  })

/** A guard, and a run in which each read of the store returns the next of these positions. The last one is repeated. */
function guardOf(options: ProgressGuardOptions = {}) {
  const guard = createProgressGuard({ limits: FAST, ...options })
  return (places: Progress[], body: (startLoop: StartLoop) => Promise<void>) => {
    let reads = 0
    const read = async () => places[Math.min(reads++, places.length - 1)] ?? at(null)
    return guard.run(read, signal, body)
  }
}

const repeat = (rounds: number) => async (startLoop: StartLoop) => {
  const nextRound = startLoop('catch-up')
  for (let round = 0; round < rounds; round++) await nextRound()
}

const NO_PROGRESS = { code: 'NO_PROGRESS' }

describe('a progress guard', () => {
  test('ends a loop after three rounds without a new checkpoint or sweep', async () => {
    const run = guardOf()
    await expect(run([at('A', 9)], repeat(3))).resolves.toBeUndefined()
    await expect(run([at('A', 9)], repeat(4))).rejects.toMatchObject(NO_PROGRESS)
  })

  test.each([
    ['the checkpoint', [at('A'), at('A'), at('A'), at('B'), at('B'), at('B')]],
    ['the sweep', [at('A', 9), at('A', 9), at('A', 9), at('A', 8), at('A', 8), at('A', 8)]],
    ['the end of the sweep', [at('A', 9), at('A', 9), at('A', 9), at('A'), at('A'), at('A')]],
  ])('resets the count when %s has moved', async (_what, places) => {
    await expect(guardOf()(places, repeat(6))).resolves.toBeUndefined()
    await expect(guardOf()(places, repeat(7))).rejects.toMatchObject(NO_PROGRESS)
  })

  test('does not count a return to an earlier position as progress', async () => {
    const places = [at('A'), at('B'), at('A'), at('B'), at('A')]
    await expect(guardOf()(places, repeat(5))).rejects.toMatchObject(NO_PROGRESS)
  })

  test('counts the rounds of all loops of a run together', async () => {
    const body = async (startLoop: StartLoop) => {
      for (let loop = 0; loop < 3; loop++) await repeat(2)(startLoop)
    }
    await expect(guardOf()([at('A')], body)).rejects.toMatchObject(NO_PROGRESS)
  })

  test('lets loops start at the same position any number of times', async () => {
    const body = async (startLoop: StartLoop) => {
      for (let loop = 0; loop < 100; loop++) await repeat(1)(startLoop)
    }
    await expect(guardOf()([at('A')], body)).resolves.toBeUndefined()
  })

  test('ends a loop that starts again eleven times, even with progress', async () => {
    const places = Array.from({ length: 20 }, (_, n) => at(`${n}`))
    await expect(guardOf()(places, repeat(11))).resolves.toBeUndefined()
    await expect(guardOf()(places, repeat(12))).rejects.toMatchObject(NO_PROGRESS)
  })

  test('names the loop, the cause and the remedy', async () => {
    await expect(guardOf()([at('A')], repeat(4))).rejects.toThrow(
      /^The loop catch-up stopped after 3 rounds .+\. .+ than the one that was written\. Check that DATABASE_URL .+\.$/,
    )
  })

  test('reads the progress after the backoff', async () => {
    const read: number[] = []
    const guard = createProgressGuard({ limits: { backoff: { firstMs: 30, maxMs: 30 } } })
    const readProgress = async () => {
      read.push(performance.now())
      return at('A')
    }
    await guard.run(readProgress, signal, repeat(3))
    const [first = 0, second = 0, third = 0] = read
    expect(second - first).toBeGreaterThan(28)
    expect(third - second).toBeGreaterThan(28)
  })

  test('stops waiting when its signal aborts', async () => {
    const stop = new AbortController()
    const guard = createProgressGuard({
      limits: { backoff: { firstMs: 3_600_000, maxMs: 3_600_000 } },
    })
    const running = guard.run(async () => at('A'), stop.signal, repeat(2))
    stop.abort()
    await expect(running).rejects.toMatchObject({ code: 'ABORTED' })
  })

  test('reports an idle round as the first again only after a run without idle rounds', async () => {
    const reports: boolean[] = []
    const run = guardOf({ onIdleRound: (_loop, isFirst) => void reports.push(isFirst) })
    await run([at('A')], repeat(2))
    await run([at('A')], repeat(2))
    expect(reports).toEqual([true, false])
    await run([at('A')], repeat(1))
    await run([at('A')], repeat(2))
    expect(reports).toEqual([true, false, true])
  })
})
