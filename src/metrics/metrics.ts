import { collectDefaultMetrics, Registry } from 'prom-client'
import { type AnswerMetrics, createAnswerMetrics } from './answers.js'
import { createJobMetrics, type JobMetrics } from './jobs.js'
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

/** What a process may do: read the log, or answer callers of the API. */
type Task = 'reading' | 'answering'

/** What is measured, as callbacks for those who do it, and as text for whoever asks. */
export interface Metrics extends ReadingMetrics, JobMetrics, AnswerMetrics {
  /** From now on the process does this. What it does not do, it tells no zeros of. */
  begin(task: Task): void
  /** Measures the process as well, from now on: processor, memory, event loop, garbage collection. */
  watchProcess(): void
  /** Never fails, and waits for the database a few seconds at most. */
  scrape(): Promise<Scrape>
}

/** Makes the metrics of one service. */
export function createMetrics(options: MetricsOptions): Metrics {
  const registry = new Registry()
  const stored = createStoredMetrics(registry, options)
  const tasks = { reading: new Registry(), answering: new Registry() }
  const told = new Set([registry])
  return {
    ...createReadingMetrics(tasks.reading, options.rateShare),
    ...createJobMetrics(tasks.reading),
    ...createAnswerMetrics(tasks.answering),
    begin: (task) => void told.add(tasks[task]),
    watchProcess: () => collectDefaultMetrics({ register: registry }),
    async scrape() {
      await stored.refresh()
      const texts = await Promise.all([...told].map((part) => part.metrics()))
      return { contentType: registry.contentType, text: texts.join('') }
    },
  }
}
