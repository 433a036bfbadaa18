import { collectDefaultMetrics, Registry } from 'prom-client'
import type { ApiMetrics } from '../measurements.js'
import { createApiMetrics } from './api.js'
import { createDatabaseMetrics, type DatabaseMetricsOptions } from './database.js'
import { createJobMetrics, type JobMetrics } from './jobs.js'
import { createSyncMetrics, type SyncMetrics } from './sync.js'

/** Options of {@link createMetrics}. */
export interface MetricsOptions extends DatabaseMetricsOptions {
  /** The share of the tenant's rate limit that last-logout may use, from 0 to 1. */
  rateShare: number
}

/** The response to a scrape: all metrics in the text format of Prometheus. */
interface Scrape {
  contentType: string
  text: string
}

/** A task that not every process has: reading the log, or serving the API. */
type Task = 'sync' | 'api'

/** All metrics of a process: callbacks for measurements, and functions that expose the metrics. */
export interface Metrics extends SyncMetrics, JobMetrics, ApiMetrics {
  /**
   * Exposes the metrics of a task. Before this call, they are absent, because a process without this task must not
   * report zeros.
   */
  expose(task: Task): void
  /** Exposes CPU time, memory, event loop and garbage collection of this process. */
  exposeProcess(): void
  /** Returns all exposed metrics. Never rejects. Waits at most `timeoutMs` for the database. */
  scrape(): Promise<Scrape>
}

/** Creates the metrics of a process. */
export function createMetrics(options: MetricsOptions): Metrics {
  const registry = new Registry()
  const database = createDatabaseMetrics(registry, options)
  const tasks = { sync: new Registry(), api: new Registry() }
  const registries = new Set([registry])
  return {
    ...createSyncMetrics(tasks.sync, options.rateShare),
    ...createJobMetrics(tasks.sync),
    ...createApiMetrics(tasks.api),
    expose: (task) => void registries.add(tasks[task]),
    exposeProcess: () => collectDefaultMetrics({ register: registry }),
    async scrape() {
      await database.refresh()
      const texts = await Promise.all([...registries].map((each) => each.metrics()))
      return { contentType: registry.contentType, text: texts.join('') }
    },
  }
}
