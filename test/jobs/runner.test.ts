import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { aborted, LastLogoutError } from '../../src/errors.js'
import { createRunner } from '../../src/jobs/runner.js'
import type { ScheduledJob } from '../../src/jobs/scheduled-job.js'
import { createTestLog, NEVER_MS } from './fixture.js'

const NEVER = new Promise<never>(() => {})

/** A runner of one job. */
function start(work: ScheduledJob['run'], stallMs?: number) {
  const closing = new AbortController()
  const { log, lines } = createTestLog()
  const job = { name: 'tick', everyMs: NEVER_MS, run: work, ...(stallMs && { stallMs }) }
  const failures: [string, unknown][] = []
  const onFailure = (name: string, error: unknown) => void failures.push([name, error])
  const runner = createRunner({ jobs: [job], log, onFailure }, closing.signal)
  const run = () => runner.run('tick')
  return { run, idle: runner.idle, close: () => closing.abort(), lines, failures }
}

const unavailable = () => new LastLogoutError('AUTH0_UNAVAILABLE', 'cannot be reached')
const credentials = () => new LastLogoutError('AUTH0_CREDENTIALS', 'check AUTH0_CLIENT_SECRET')

describe('a job that fails', () => {
  it('says so once for each code, and once that it works again, and for how long it did not', async () => {
    const outcomes = [unavailable, unavailable, credentials, unavailable, null, null, unavailable]
    const { run, lines } = start(async () => {
      const error = outcomes.shift()?.()
      if (error) throw error
    })
    for (let n = outcomes.length; n > 0; n--) await run()
    expect(lines('error')).toMatchObject([
      { msg: 'job failed', job: 'tick', err: { code: 'AUTH0_UNAVAILABLE' } },
      { msg: 'job failed', job: 'tick', err: { code: 'AUTH0_CREDENTIALS' } },
      { msg: 'job failed', job: 'tick', err: { code: 'AUTH0_UNAVAILABLE' } },
    ])
    expect(lines('debug')).toHaveLength(2)
    expect(lines('info')).toMatchObject([
      { msg: 'job recovered', job: 'tick', failingMs: expect.any(Number) },
    ])
  })

  it('does not work again by a run that tried nothing', async () => {
    const outcomes = [unavailable, null, unavailable]
    const { run, lines } = start(async () => {
      const error = outcomes.shift()?.()
      if (error) throw error
      return 'skipped'
    })
    for (let n = 3; n > 0; n--) await run()
    expect(lines('error')).toHaveLength(1)
    expect(lines('info')).toEqual([])
  })

  it('tells each failure, whether it is news or not', async () => {
    const { run, failures, lines } = start(async () => {
      throw unavailable()
    })
    await run()
    await run()
    expect(lines('error')).toHaveLength(1)
    const failure = ['tick', expect.objectContaining({ code: 'AUTH0_UNAVAILABLE' })]
    expect(failures).toEqual([failure, failure])
  })
})

describe('a run without progress', () => {
  it('is aborted and run again (P6)', async () => {
    let runs = 0
    const { run, lines } = start(async (signal) => {
      runs += 1
      if (runs > 1) return
      await once(signal, 'abort')
      throw aborted()
    }, 50)
    await run()
    expect(lines('error')).toMatchObject([{ err: { code: 'STALLED' } }])
    await run()
    expect(lines('info')).toMatchObject([{ msg: 'job recovered' }])
  })

  it('has failed, also where it takes the abort for its end', async () => {
    const { run, lines, failures } = start((signal) => once(signal, 'abort'), 50)
    await run()
    expect(lines('error')).toMatchObject([{ err: { code: 'STALLED' } }])
    expect(failures).toMatchObject([['tick', { code: 'STALLED' }]])
  })

  it('and without an end is left behind: its name is free, and its late failure is nobody’s', async () => {
    let fail = (_error: Error): void => {}
    const hanging = new Promise<never>((_, reject) => {
      fail = reject
    })
    const runs: AbortSignal[] = []
    const { run, idle, lines } = start((signal) => {
      runs.push(signal)
      return runs.length === 1 ? hanging : Promise.resolve()
    }, 50)
    await run()
    expect(runs[0]?.aborted).toBe(true)
    expect(lines('error')).toMatchObject([{ err: { code: 'ABANDONED' } }])
    await idle()
    await run()
    expect(runs).toHaveLength(2)
    fail(new Error('late'))
    await sleep(10)
    expect(lines('error')).toHaveLength(1)
  })
})

describe('a run with progress', () => {
  it('may outlast its stall time by far (P9)', async () => {
    const { run, lines } = start(async (signal, progressed) => {
      for (let n = 0; n < 10; n++) {
        await sleep(50)
        progressed()
      }
      expect(signal.aborted).toBe(false)
    }, 200)
    await run()
    expect(lines('error')).toEqual([])
  })
})

describe('a run that is closed', () => {
  it('is not waited for without an end', async () => {
    const { run, idle, close, lines } = start(() => NEVER, 200)
    const running = run()
    close()
    await idle()
    await running
    expect(lines('error')).toMatchObject([{ err: { code: 'ABANDONED' } }])
  })

  it('has not failed by being stopped', async () => {
    const { run, close, lines } = start(async (signal) => {
      await once(signal, 'abort')
      throw aborted()
    })
    const running = run()
    close()
    await running
    expect(lines('error')).toEqual([])
  })
})
