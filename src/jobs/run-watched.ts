import { withAbort } from '../async/abort.js'
import { LastLogoutError } from '../errors.js'
import type { ScheduledJob } from './scheduled-job.js'

/** Default time without progress after which a run is stalled, in milliseconds. */
const STALL_TIMEOUT_MS = 120_000

/** How long an aborted run may take to end, in milliseconds. It may have to wait until a query times out. */
const ABORT_GRACE_MS = 20_000

/**
 * Runs a job once, and aborts the run when it stalls.
 *
 * @throws `STALLED` when a run has stalled, was aborted, and has ended.
 * @throws `ABANDONED` when an aborted run does not end within its grace period.
 */
export function runWatched(job: ScheduledJob, signal: AbortSignal): Promise<unknown> {
  const { stallMs = STALL_TIMEOUT_MS } = job
  const graceMs = Math.min(stallMs, ABORT_GRACE_MS)

  return withAbort(signal, (controller) => {
    let state: 'running' | 'stalled' | 'over' = 'running'
    const run = async () => job.run(controller.signal, reportProgress)
    const stall = () => {
      state = 'stalled'
      controller.abort()
    }
    let timer = setTimeout(stall, stallMs)
    function reportProgress(): void {
      if (state === 'running' && !controller.signal.aborted) timer.refresh()
    }

    return new Promise<unknown>((resolve, reject) => {
      const end = (settle: () => void) => {
        clearTimeout(timer)
        if (state === 'stalled') reject(stalledError(job.name, stallMs))
        else settle()
        state = 'over'
      }
      controller.signal.addEventListener('abort', () => {
        clearTimeout(timer)
        if (state === 'over') return
        timer = setTimeout(() => reject(abandonedError(job.name, graceMs)), graceMs)
      })
      run().then(
        (value) => end(() => resolve(value)),
        (error) => end(() => reject(error)),
      )
    })
  })
}

function stalledError(name: string, stallMs: number): LastLogoutError {
  const message = `the job ${name} made no progress for ${stallMs / 1000} s and was aborted; it runs again at its interval`
  return new LastLogoutError('STALLED', message)
}

function abandonedError(name: string, graceMs: number): LastLogoutError {
  const message =
    `the job ${name} did not end within ${graceMs / 1000} s after it was aborted; the next run does not ` +
    'wait for it. If this occurs again, restart this process'
  return new LastLogoutError('ABANDONED', message)
}
