import { describe, test } from 'vitest'
import type { LogSource } from '../../src/ports.js'
import { buildEntry } from '../../src/simulator/entries.js'
import { createTestDatabase } from '../_support/database.js'
import { readRows } from '../_support/store.js'
import { openTenant } from '../_support/tenant.js'
import { hasReconciled, startWorker, workerEnv } from '../_support/worker.js'

/** Longer than a lease that nobody renews. */
const PATIENCE = { timeout: 60_000, interval: 20 }

/** Longer than a poll that does not hang goes without progress, on a busy machine too. */
const STALL_MS = 3_000

/** A source of which one page never comes; `ends`: unless it is told to stop. */
function createHangingSource(source: LogSource, ends: boolean) {
  const next = { hangs: false }
  const hanging: LogSource = {
    ...source,
    readPage(from, signal) {
      if (!next.hangs) return source.readPage(from, signal)
      next.hangs = false
      return new Promise((_resolve, reject) => {
        if (ends) signal.addEventListener('abort', () => reject(signal.reason))
      })
    },
  }
  return { source: hanging, next }
}

describe.concurrent('a poll that hangs, for whatever reason,', { timeout: 90_000 }, () => {
  test.for([
    ['is aborted, and the next one goes on', true, 'STALLED', /made no progress for 3 s/],
    ['even when it is aborted, keeps nobody waiting', false, 'ABANDONED', /left behind/],
  ] as const)('%s (P6)', async ([_title, ends, code, says], context) => {
    const { expect, annotate, onTestFinished } = context
    const database = await createTestDatabase()
    onTestFinished(() => database.drop())
    const t = await openTenant()
    onTestFinished(() => t.close())
    const { source, next } = createHangingSource(t.source, ends)
    t.tenant.write(buildEntry('slo', { userId: 'auth0|1', sessionId: 'S1' }))
    // Reconciling waits for the lease, which is no progress: it is done with before the limit is short.
    const first = await startWorker(workerEnv(t, database))
    onTestFinished(() => first.close())
    await expect.poll(() => hasReconciled(first), PATIENCE).toBe(true)
    await first.close()
    const worker = await startWorker(workerEnv(t, database), { source, stallTimeoutMs: STALL_MS })
    onTestFinished(() => worker.close())
    const polls = () => worker.lines('debug').filter(({ outcome }) => outcome === 'caught_up')
    await expect.poll(polls, PATIENCE).not.toEqual([])
    next.hangs = true
    const beganAt = performance.now()
    t.tenant.write(buildEntry('slo', { userId: 'auth0|2', sessionId: 'S2' }))
    const over = () => worker.lines('info').filter(({ msg }) => msg === 'job works again')
    await expect.poll(over, PATIENCE).toHaveLength(1)
    const recoveredMs = performance.now() - beganAt
    expect((await readRows(database)).users).toHaveLength(2)
    expect(worker.lines('error')).toMatchObject([
      { msg: 'job failed', job: 'poll', err: { code, message: expect.stringMatching(says) } },
    ])
    await annotate(
      `with a limit of ${STALL_MS / 1000} s: read after ${(recoveredMs / 1000).toFixed(1)} s`,
    )
  })
})
