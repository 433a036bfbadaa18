import { collectDefaultMetrics, Registry } from 'prom-client'
import { type AnswerMetrics, createAnswerMetrics } from './answers.js'
import { createReadingMetrics, type ReadingMetrics } from './reading.js'
import { createStoredMetrics, type StoredMetricsOptions } from './stored.js'

/** What the metrics are made of. */
export interface MetricsOptions extends StoredMetricsOptions {
  /** Our share of the tenant's rate limit. */
  rateShare: number
}

/** All metrics, in the text format of Prometheus. */
interface Scrape {
  contentType: string
  text: string
}

/** What is measured, as callbacks for those who do it, and as text for whoever asks. */
export interface Metrics extends ReadingMetrics, AnswerMetrics {
  /** Measures the process as well, from now on: processor, memory, event loop, garbage collection. */
  watchProcess(): void
  /** Never fails, and waits for the database a few seconds at most. */
  scrape(): Promise<Scrape>
}

/** Makes the metrics of one service. */
export function createMetrics(options: MetricsOptions): Metrics {
  const registry = new Registry()
  const stored = createStoredMetrics(registry, options)
  return {
    ...createReadingMetrics(registry, options.rateShare),
    ...createAnswerMetrics(registry),
    watchProcess: () => collectDefaultMetrics({ register: registry }),
    async scrape() {
      await stored.refresh()
      return { contentType: registry.contentType, text: await registry.metrics() }
    },
  }
}
