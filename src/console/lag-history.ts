import { singleFlight } from '../async/single-flight.js'
import { withTimeout } from '../async/timeout.js'
import { lagOf } from '../rules/freshness.js'
import { HOUR_MS, type Instant } from '../rules/instant.js'

/**
 * Default of `intervalMs` in {@link LagHistoryOptions}. The lag grows between two polls, and falls at each poll. Seven
 * seconds are no multiple of a usual `POLL_INTERVAL`, so that samples are not always at the same moment between two polls.
 */
const SAMPLE_INTERVAL_MS = 7_000

/** Default of `timeoutMs` in {@link LagHistoryOptions}. */
const SAMPLE_TIMEOUT_MS = 3_000

/** The options of {@link createLagHistory}. */
export interface LagHistoryOptions {
  /** Reads `as_of`, and the time by the clock of the database. */
  readProgress(): Promise<{ asOf: Instant | null; now: Instant }>
  /** Interval between two samples, in milliseconds. Default: 7,000. */
  intervalMs?: number
  /** How long a sample waits for the database, in milliseconds. Default: 3,000. */
  timeoutMs?: number
  /** Maximum number of samples. The oldest is dropped first. Default: those of an hour. */
  maxSamples?: number
}

/** The lag at some instants, in two columns. The instants ascend. */
interface LagSamples {
  at: Instant[]
  /** In milliseconds; `null`: the lag was unknown, or the database did not respond. */
  lagMs: (number | null)[]
}

/** The lag of the last hour, in the memory of this process. */
export interface LagHistory {
  /** When this process began to record. */
  startedAt: Instant
  read(): LagSamples
  close(): void
}

/** Records the lag at an interval until `close`. A restart of the process begins an empty history. */
export function createLagHistory({
  readProgress,
  intervalMs = SAMPLE_INTERVAL_MS,
  timeoutMs = SAMPLE_TIMEOUT_MS,
  maxSamples = Math.ceil(HOUR_MS / SAMPLE_INTERVAL_MS),
}: LagHistoryOptions): LagHistory {
  const startedAt = Date.now()
  const startedMonotonic = performance.now()
  const samples: { at: Instant; lagMs: number | null }[] = []

  const sample = singleFlight(async () => {
    // The wall clock can jump. The instants of a plot must ascend.
    const at = startedAt + Math.round(performance.now() - startedMonotonic)
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
