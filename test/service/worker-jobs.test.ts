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

/** Creates a log source that delays its first page until `arrive` is called. */
function createLateSource(source: LogSource) {
  const events = new EventEmitter()
  const [whenRequested, whenArrived] = [once(events, 'requested'), once(events, 'arrived')]
  let isFirst = true
  const lateSource: LogSource = {
    ...source,
    async readPage(from, signal) {
      if (isFirst) {
        isFirst = false
        events.emit('requested')
        await whenArrived
      }
      return source.readPage(from, signal)
    },
  }
  return { source: lateSource, whenRequested, arrive: () => void events.emit('arrived') }
}

test('a reconcile starts as soon as the running poll ends, before its backoff elapses', async () => {
  const t = await openTenant()
  onTestFinished(() => t.close())
  const { source, whenRequested, arrive } = createLateSource(t.source)
  const readTo = Date.now() - 60_000
  const store = createMemoryStore({ checkpoint: syntheticLogId(readTo), asOf: readTo })
  const env = { ...tenantEnv(t.simulator), DATABASE_URL: 'postgres://localhost/none' }
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
  // This second poll is skipped because of the lease. Until then, the reconcile has also failed to take the lease.
  await expect(run('poll')).resolves.toBe('skipped')
  arrive()
  await expect(polling).resolves.toBeUndefined()
  await expect(reconciling).resolves.toBeUndefined()
})
