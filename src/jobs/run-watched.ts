import { withAbort } from '../async/abort.js'
import { LastLogoutError } from '../errors.js'
import type { ScheduledJob } from './scheduled-job.js'

/** How long a run may go without progress where its job does not say, in milliseconds. */
const STALL_MS = 120_000

/** How long a run that was told to stop may take to do so, in milliseconds: a query may have to run out. */
const GRACE_MS = 20_000

/**
 * Runs a job once. A run that makes no progress is aborted (`STALLED`), and one that does not end
 * when it is aborted, for whatever reason, is waited for no longer (`ABANDONED`).
 */
export function runWatched(job: ScheduledJob, signal: AbortSignal): Promise<unknown> {
  const { stallMs = STALL_MS } = job
  const graceMs = Math.min(stallMs, GRACE_MS)

  return withAbort(signal, (controller) => {
    let state: 'running' | 'stalled' | 'over' = 'running'
    const run = async () => job.run(controller.signal, progressed)
    const stall = () => {
      state = 'stalled'
      controller.abort()
    }
    let timer = setTimeout(stall, stallMs)
    function progressed(): void {
      if (state === 'running' && !controller.signal.aborted) timer.refresh()
    }

    return new Promise<unknown>((resolve, reject) => {
      const end = (settle: () => void) => {
        clearTimeout(timer)
        if (state === 'stalled') reject(stalled(job.name, stallMs))
        else settle()
        state = 'over'
      }
      controller.signal.addEventListener('abort', () => {
        clearTimeout(timer)
        if (state === 'over') return
        timer = setTimeout(() => reject(abandoned(job.name, graceMs)), graceMs)
      })
      run().then(
        (value) => end(() => resolve(value)),
        (error) => end(() => reject(error)),
      )
    })
  })
}

function stalled(name: string, stallMs: number): LastLogoutError {
  const message = `${name} made no progress for ${stallMs / 1000} s: it was stopped, and is run again`
  return new LastLogoutError('STALLED', message)
}

function abandoned(name: string, graceMs: number): LastLogoutError {
  const message =
    `${name} did not stop within ${graceMs / 1000} s of being told to: it is left behind, and the ` +
    'next run does not wait for it. If this comes again, restart this process'
  return new LastLogoutError('ABANDONED', message)
}
