import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { abortedError, LastLogoutError } from '../../src/errors.js'
import { createRunner } from '../../src/jobs/runner.js'
import type { ScheduledJob } from '../../src/jobs/scheduled-job.js'
import { createTestLog, ONE_HOUR_MS } from './fixture.js'

// A runner runs jobs by name, each at most once at a time. It logs failures, and aborts runs that make no progress.

const neverSettles = new Promise<never>(() => {})

/**
 * Creates a runner with one job. `run` runs the job once, and `idle` waits for a run in progress.
 *
 * @param stallMs Stall timeout: the runner aborts a run that reports no progress for this time.
 */
function createTestRunner(work: ScheduledJob['run'], { stallMs }: { stallMs?: number } = {}) {
  const closing = new AbortController()
  const { log, lines } = createTestLog()
  const job = { name: 'tick', everyMs: ONE_HOUR_MS, run: work, ...(stallMs && { stallMs }) }
  /** The calls of `onFailure`. */
  const failures: [jobName: string, error: unknown][] = []
  const onFailure = (jobName: string, error: unknown) => {
    failures.push([jobName, error])
  }
  const runner = createRunner({ jobs: [job], log, onFailure }, closing.signal)
  const run = () => runner.run('tick')
  return { run, idle: runner.idle, close: () => closing.abort(), lines, failures }
}

const unavailableError = () => new LastLogoutError('AUTH0_UNAVAILABLE', 'cannot be reached')
const credentialsError = () => new LastLogoutError('AUTH0_CREDENTIALS', 'check AUTH0_CLIENT_SECRET')

describe('a job that fails', () => {
  test('a failing job is logged once for each error code until it recovers, and its recovery is logged with the duration', async () => {
    // Each run takes the next element: it throws this error, or succeeds if the element is `null`.
    const outcomes = [
      unavailableError,
      unavailableError,
      credentialsError,
      unavailableError,
      null,
      null,
      unavailableError,
    ]
    const { run, lines } = createTestRunner(async () => {
      const error = outcomes.shift()?.()
      if (error) throw error
    })
    while (outcomes.length > 0) await run()
    expect(lines('error')).toMatchObject([
      { msg: 'job failed', job: 'tick', err: { code: 'AUTH0_UNAVAILABLE' } },
      { msg: 'job failed', job: 'tick', err: { code: 'AUTH0_CREDENTIALS' } },
      { msg: 'job failed', job: 'tick', err: { code: 'AUTH0_UNAVAILABLE' } },
    ])
    // Repeated failures are logged at the level `debug`.
    expect(lines('debug')).toHaveLength(2)
    expect(lines('info')).toMatchObject([
      { msg: 'job recovered', job: 'tick', failingMs: expect.any(Number) },
    ])
  })

  test('a failing job does not count as recovered after a skipped run', async () => {
    // Each run takes the next element: it throws this error, or is skipped if the element is `null`.
    const outcomes = [unavailableError, null, unavailableError]
    const { run, lines } = createTestRunner(async () => {
      const error = outcomes.shift()?.()
      if (error) throw error
      return 'skipped'
    })
    while (outcomes.length > 0) await run()
    expect(lines('error')).toHaveLength(1)
    expect(lines('info')).toEqual([])
  })

  test('onFailure is called for each failure, even if the failure is not logged as an error', async () => {
    const { run, failures, lines } = createTestRunner(async () => {
      throw unavailableError()
    })
    await run()
    await run()
    expect(lines('error')).toHaveLength(1)
    const failure = ['tick', expect.objectContaining({ code: 'AUTH0_UNAVAILABLE' })]
    expect(failures).toEqual([failure, failure])
  })
})

describe('a run without progress', () => {
  test('a run without progress is aborted, and the job runs again (pitfall 6)', async () => {
    let runs = 0
    const { run, lines } = createTestRunner(
      async (signal) => {
        runs += 1
        if (runs > 1) return
        await once(signal, 'abort')
        throw abortedError()
      },
      { stallMs: 50 },
    )
    await run()
    expect(lines('error')).toMatchObject([{ err: { code: 'STALLED' } }])
    await run()
    expect(lines('info')).toMatchObject([{ msg: 'job recovered' }])
  })

  test('a run without progress counts as failed, even if it resolves after the abort', async () => {
    const { run, lines, failures } = createTestRunner((signal) => once(signal, 'abort'), {
      stallMs: 50,
    })
    await run()
    expect(lines('error')).toMatchObject([{ err: { code: 'STALLED' } }])
    expect(failures).toMatchObject([['tick', { code: 'STALLED' }]])
  })

  test('a run that does not end after an abort is abandoned: the job runs again, and a later failure of the run is ignored', async () => {
    let failHangingRun = (_error: Error): void => {}
    const hangingRun = new Promise<never>((_, reject) => {
      failHangingRun = reject
    })
    /** The signal of each run. */
    const signals: AbortSignal[] = []
    const { run, idle, lines } = createTestRunner(
      (signal) => {
        signals.push(signal)
        return signals.length === 1 ? hangingRun : Promise.resolve()
      },
      { stallMs: 50 },
    )
    await run()
    expect(signals[0]?.aborted).toBe(true)
    expect(lines('error')).toMatchObject([{ err: { code: 'ABANDONED' } }])
    await idle()
    await run()
    expect(signals).toHaveLength(2)
    failHangingRun(new Error('late'))
    // The runner handles the rejection within this time.
    await sleep(10)
    expect(lines('error')).toHaveLength(1)
  })
})

describe('a run with progress', () => {
  test('a run with progress can take longer than its stall timeout (pitfall 9)', async () => {
    const { run, lines } = createTestRunner(
      async (signal, reportProgress) => {
        // The run takes 500 ms, with progress every 50 ms.
        for (let step = 0; step < 10; step++) {
          await sleep(50)
          reportProgress()
        }
        expect(signal.aborted).toBe(false)
      },
      { stallMs: 200 },
    )
    await run()
    expect(lines('error')).toEqual([])
  })
})

describe('a runner that is closed during a run', () => {
  test('idle does not wait for a run that does not end after an abort', async () => {
    const { run, idle, close, lines } = createTestRunner(() => neverSettles, { stallMs: 200 })
    const running = run()
    close()
    await idle()
    await running
    expect(lines('error')).toMatchObject([{ err: { code: 'ABANDONED' } }])
  })

  test('a run that is aborted because the runner is closed does not count as failed', async () => {
    const { run, close, lines } = createTestRunner(async (signal) => {
      await once(signal, 'abort')
      throw abortedError()
    })
    const running = run()
    close()
    await running
    expect(lines('error')).toEqual([])
  })
})
