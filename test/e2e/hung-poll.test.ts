import { describe, test } from 'vitest'
import type { LogSource } from '../../src/ports.js'
import { buildEntry } from '../../src/simulator/entries.js'
import { createTestDatabase } from '../_support/database.js'
import { readRows } from '../_support/store.js'
import { openTenant } from '../_support/tenant.js'
import { hasReconciled, startWorker, workerEnv } from '../_support/worker.js'

/** Options of `expect.poll`. The timeout is longer than the 30 s for which a worker holds the lease to poll. */
const WAIT = { timeout: 60_000, interval: 20 }

/** A job without progress for this time is aborted. Even on a busy machine, a healthy poll makes progress earlier. */
const STALL_TIMEOUT_MS = 3_000

/**
 * Wraps a log source. If a test sets `nextPage.hangs` to `true`, the next request for a page gets no response.
 *
 * @param isAbortable Whether the request that hangs rejects when it is aborted.
 */
function createHangingSource(source: LogSource, isAbortable: boolean) {
  const nextPage = { hangs: false }
  const hanging: LogSource = {
    ...source,
    readPage(from, signal) {
      if (!nextPage.hangs) return source.readPage(from, signal)
      nextPage.hangs = false
      return new Promise((_resolve, reject) => {
        if (isAbortable) signal.addEventListener('abort', () => reject(signal.reason))
      })
    },
  }
  return { source: hanging, nextPage }
}

describe.concurrent('a poll that hangs', { timeout: 90_000 }, () => {
  test.for([
    [
      'a poll that hangs is aborted, and the next poll resumes',
      true,
      'STALLED',
      /made no progress for 3 s/,
    ],
    [
      'a poll that hangs and ignores its abort signal does not block the next poll',
      false,
      'ABANDONED',
      /did not end within/,
    ],
  ] as const)('%s (pitfall 6)', async ([_title, isAbortable, code, message], context) => {
    const { expect, annotate, onTestFinished } = context
    const database = await createTestDatabase()
    onTestFinished(() => database.drop())
    const auth0 = await openTenant()
    onTestFinished(() => auth0.close())
    const { source, nextPage } = createHangingSource(auth0.source, isAbortable)
    auth0.tenant.write(buildEntry('slo', { userId: 'auth0|1', sessionId: 'S1' }))
    // The first reconcile searches the recent log. It would stall while it waits for the lease of the poll that hangs.
    // So another worker completes this reconcile before.
    const reconcilingWorker = await startWorker(workerEnv(auth0, database))
    onTestFinished(() => reconcilingWorker.close())
    await expect.poll(() => hasReconciled(reconcilingWorker), WAIT).toBe(true)
    await reconcilingWorker.close()
    const worker = await startWorker(workerEnv(auth0, database), {
      source,
      stallTimeoutMs: STALL_TIMEOUT_MS,
    })
    onTestFinished(() => worker.close())
    const completedPolls = () =>
      worker.logLines('debug').filter(({ outcome }) => outcome === 'caught_up')
    await expect.poll(completedPolls, WAIT).not.toEqual([])
    nextPage.hangs = true
    const hangsFrom = performance.now()
    auth0.tenant.write(buildEntry('slo', { userId: 'auth0|2', sessionId: 'S2' }))
    const recoveries = () => worker.logLines('info').filter(({ msg }) => msg === 'job recovered')
    await expect.poll(recoveries, WAIT).toHaveLength(1)
    const recoveredMs = performance.now() - hangsFrom
    expect((await readRows(database)).users).toHaveLength(2)
    expect(worker.logLines('error')).toMatchObject([
      { msg: 'job failed', job: 'poll', err: { code, message: expect.stringMatching(message) } },
    ])
    await annotate(
      `with a stall timeout of ${STALL_TIMEOUT_MS / 1000} s, recovered after ${(recoveredMs / 1000).toFixed(1)} s`,
    )
  })
})
