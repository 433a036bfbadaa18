import { singleFlight } from '../async/single-flight.js'
import { withTimeout } from '../async/timeout.js'
import { lagOf } from '../rules/freshness.js'
import { HOUR_MS, type Instant } from '../rules/instant.js'

/**
 * Default interval between two samples, in milliseconds. The lag (the age of the data) grows between two polls, and
 * falls at each poll. Seven seconds are not a multiple of a usual `POLL_INTERVAL`, so samples are taken at different
 * moments between two polls.
 */
const SAMPLE_INTERVAL_MS = 7_000

/** Default of the maximum time that a sample waits for the database, in milliseconds. */
const SAMPLE_TIMEOUT_MS = 3_000

/** The options of {@link createLagHistory}. */
export interface LagHistoryOptions {
  /** Reads `as_of` (the time up to which the log has been read) and the current time of the database's clock. */
  readProgress(): Promise<{ asOf: Instant | null; now: Instant }>
  /** Interval between two samples, in milliseconds. Default: 7,000. */
  intervalMs?: number
  /** Maximum time that a sample waits for the database, in milliseconds. Default: 3,000. */
  timeoutMs?: number
  /** Maximum number of samples. The oldest sample is dropped first. Default: the samples of an hour. */
  maxSamples?: number
}

/** Samples of the lag as two columns, in the order of time. */
interface LagSamples {
  at: Instant[]
  /** The lag in milliseconds; `null`: the lag was unknown, or the database did not respond. */
  lagMs: (number | null)[]
}

/** The samples of the last hour. They are kept in the memory of this process. */
export interface LagHistory {
  /** When this process began to record. */
  startedAt: Instant
  read(): LagSamples
  close(): void
}

/** Records the lag at an interval until `close`. After a restart of the process, the history is empty. */
export function createLagHistory({
  readProgress,
  intervalMs = SAMPLE_INTERVAL_MS,
  timeoutMs = SAMPLE_TIMEOUT_MS,
  maxSamples = Math.ceil(HOUR_MS / SAMPLE_INTERVAL_MS),
}: LagHistoryOptions): LagHistory {
  const startedAt = Date.now()
  const startedMonotonicMs = performance.now()
  const samples: { at: Instant; lagMs: number | null }[] = []

  const sample = singleFlight(async () => {
    // A plot needs ascending instants, but the wall clock can jump.
    const at = startedAt + Math.round(performance.now() - startedMonotonicMs)
    const progress = await withTimeout(timeoutMs, readProgress(), null)
    samples.push({ at, lagMs: progress && lagOf(progress.asOf, progress.now) })
    if (samples.length > maxSamples) samples.shift()
  })
  const timer = setInterval(() => void sample(), intervalMs)
  timer.unref()
  return {
    startedAt,
    read: () => ({ at: samples.map(({ at }) => at), lagMs: samples.map(({ lagMs }) => lagMs) }),
    close: () => clearInterval(timer),
  }
}
