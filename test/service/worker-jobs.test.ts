import { EventEmitter, once } from 'node:events'
import { pino } from 'pino'
import { expect, onTestFinished, test } from 'vitest'
import { loadConfig } from '../../src/config/config.js'
import { createMetrics } from '../../src/metrics/metrics.js'
import type { LogSource } from '../../src/ports.js'
import { syntheticLogId } from '../../src/rules/log-id.js'
import { createWorkerJobs } from '../../src/service/worker-jobs.js'
import { createLease } from '../../src/sync/lease.js'
import { createMemoryStore } from '../_support/memory-store.js'
import { openTenant, tenantEnv } from '../_support/tenant.js'

const { signal } = new AbortController()
const HOUR_MS = 3_600_000

/** Delays the first page of a log source until `deliverPage` is called. `whenRequested` resolves when it is requested. */
function delayFirstPage(source: LogSource) {
  const events = new EventEmitter()
  const [whenRequested, whenDelivered] = [once(events, 'requested'), once(events, 'delivered')]
  let isFirstPage = true
  const delayedSource: LogSource = {
    ...source,
    async readPage(from, signal) {
      if (isFirstPage) {
        isFirstPage = false
        events.emit('requested')
        await whenDelivered
      }
      return source.readPage(from, signal)
    },
  }
  return {
    source: delayedSource,
    whenRequested,
    deliverPage: () => void events.emit('delivered'),
  }
}

// A reconcile searches the recent log again for late entries. Polls and reconciles exclude each other by a lease.
test('a reconcile starts as soon as the running poll ends, without waiting for its backoff of one hour', async () => {
  const testTenant = await openTenant()
  onTestFinished(() => testTenant.close())
  const { source, whenRequested, deliverPage } = delayFirstPage(testTenant.source)
  // The log has been read up to one minute ago.
  const readTo = Date.now() - 60_000
  const store = createMemoryStore({ checkpoint: syntheticLogId(readTo), asOf: readTo })
  const env = { ...tenantEnv(testTenant.simulator), DATABASE_URL: 'postgres://localhost/none' }
  const jobs = createWorkerJobs({
    config: loadConfig(env, ['auth0', 'database']),
    log: pino({ level: 'silent' }),
    store,
    source,
    lease: createLease(store),
    metrics: createMetrics({ ...store, rateShare: 1 }),
    leaseBackoff: { firstMs: HOUR_MS, maxMs: HOUR_MS },
  })
  const run = (name: string) => jobs.find((job) => job.name === name)?.run(signal, () => {})

  const polling = run('poll')
  await whenRequested
  const reconciling = run('reconcile')
  // The first poll holds the lease, so this poll is skipped. When it ends, the reconcile has also failed to take the lease.
  await expect(run('poll')).resolves.toBe('skipped')
  deliverPage()
  await expect(polling).resolves.toBeUndefined()
  await expect(reconciling).resolves.toBeUndefined()
})
