import { withAbort } from '../async/abort.js'
import { LastLogoutError } from '../errors.js'
import type { ScheduledJob } from './scheduled-job.js'

/** Default of `stallMs`, in milliseconds. A run that makes no progress for this time is stalled. */
const STALL_TIMEOUT_MS = 120_000

/** Maximum time from an abort to the end of the run, in milliseconds. It is longer than the timeout of a query. */
const ABORT_GRACE_MS = 20_000

/**
 * Runs a job once. Aborts the run if it makes no progress for `stallMs`.
 *
 * @throws `STALLED` when the run ends, if it was aborted because it made no progress.
 * @throws `ABANDONED` if the run does not end within the grace period after an abort, whether by the stall or by
 *   `signal`.
 */
export function runWatched(job: ScheduledJob, signal: AbortSignal): Promise<unknown> {
  const { stallMs = STALL_TIMEOUT_MS } = job
  const graceMs = Math.min(stallMs, ABORT_GRACE_MS)

  return withAbort(signal, (controller) => {
    let state: 'running' | 'stalled' | 'ended' = 'running'
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
        state = 'ended'
      }
      controller.signal.addEventListener('abort', () => {
        clearTimeout(timer)
        if (state === 'ended') return
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
  const message = `the job ${name} made no progress for ${stallMs / 1000} s and was aborted; the next run starts at its scheduled time`
  return new LastLogoutError('STALLED', message)
}

function abandonedError(name: string, graceMs: number): LastLogoutError {
  const message =
    `the job ${name} did not end within ${graceMs / 1000} s after it was aborted; the next run does not ` +
    'wait for it. If this occurs again, restart this process'
  return new LastLogoutError('ABANDONED', message)
}
