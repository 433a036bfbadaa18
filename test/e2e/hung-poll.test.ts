import { describe, test } from 'vitest'
import type { LogSource } from '../../src/ports.js'
import { buildEntry } from '../../src/simulator/entries.js'
import { createTestDatabase } from '../_support/database.js'
import { readRows } from '../_support/store.js'
import { openTenant } from '../_support/tenant.js'
import { hasReconciled, startWorker, workerEnv } from '../_support/worker.js'

/** Polling options with a timeout that is longer than the time to live of a lease. */
const WAIT = { timeout: 60_000, interval: 20 }

/** The stall timeout of the worker. Even on a busy machine, a healthy poll makes progress within this time. */
const STALL_MS = 3_000

/**
 * Creates a log source. After a test has set `next.hangs` to `true`, the request for the next page hangs.
 *
 * @param isAbortable Whether the hanging request rejects when it is aborted.
 */
function createHangingSource(source: LogSource, isAbortable: boolean) {
  const next = { hangs: false }
  const hanging: LogSource = {
    ...source,
    readPage(from, signal) {
      if (!next.hangs) return source.readPage(from, signal)
      next.hangs = false
      return new Promise((_resolve, reject) => {
        if (isAbortable) signal.addEventListener('abort', () => reject(signal.reason))
      })
    },
  }
  return { source: hanging, next }
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
    const { source, next } = createHangingSource(auth0.source, isAbortable)
    auth0.tenant.write(buildEntry('slo', { userId: 'auth0|1', sessionId: 'S1' }))
    // A reconcile that waits for the lease makes no progress. So another worker completes the first reconcile before.
    const reconcilingWorker = await startWorker(workerEnv(auth0, database))
    onTestFinished(() => reconcilingWorker.close())
    await expect.poll(() => hasReconciled(reconcilingWorker), WAIT).toBe(true)
    await reconcilingWorker.close()
    const worker = await startWorker(workerEnv(auth0, database), {
      source,
      stallTimeoutMs: STALL_MS,
    })
    onTestFinished(() => worker.close())
    const polls = () => worker.logLines('debug').filter(({ outcome }) => outcome === 'caught_up')
    await expect.poll(polls, WAIT).not.toEqual([])
    next.hangs = true
    const startedAt = performance.now()
    auth0.tenant.write(buildEntry('slo', { userId: 'auth0|2', sessionId: 'S2' }))
    const recoveries = () => worker.logLines('info').filter(({ msg }) => msg === 'job recovered')
    await expect.poll(recoveries, WAIT).toHaveLength(1)
    const recoveredMs = performance.now() - startedAt
    expect((await readRows(database)).users).toHaveLength(2)
    expect(worker.logLines('error')).toMatchObject([
      { msg: 'job failed', job: 'poll', err: { code, message: expect.stringMatching(message) } },
    ])
    await annotate(
      `with a limit of ${STALL_MS / 1000} s: read after ${(recoveredMs / 1000).toFixed(1)} s`,
    )
  })
})
