/** The measurements of the service at one moment. */
export interface Sample {
  /** Time since the beginning of the measurement. */
  atMs: number
  /** Resident memory, in megabytes. */
  rssMiB: number
  /** Number of connections to PostgreSQL. */
  connections: number
  /** Number of open sockets, including the connections to PostgreSQL. */
  sockets: number
}

/** The results of the load over the whole run. */
export interface LoadTotals {
  successfulReads: number
  failedReads: number
  /** Maximum time from the storage of a logout until every subscriber had received the logout. */
  maxDelaySinceStorageMs: number
  receivedLogouts: number
}

/** The result for one limit: whether the run kept the limit, and the measured value as text. */
export interface SoakVerdict {
  kept: boolean
  text: string
}

/**
 * Maximum growth of the memory in the second half of a run, as a fraction of the mean. Garbage collection causes
 * smaller changes. If a run of ten minutes has a leak of this size, the memory doubles in 50 minutes.
 */
const MAX_MEMORY_GROWTH = 0.1
/** Maximum increase of the number of connections or sockets from the third quarter of a run to the last. */
const MAX_ADDED_CONNECTIONS = 2
/** Minimum share of the reads that succeed. */
const MIN_SUCCESS_SHARE = 0.999

/**
 * Maximum duration of a poll, in milliseconds. An entry that is stored during a poll may be read only by the next poll, a
 * poll interval later.
 */
const MAX_POLL_MS = 2_000

/**
 * Judges a run. For memory and connections, only the second half of the samples counts: the first half is the warm-up.
 */
export function judgeSoak(
  samples: Sample[],
  totals: LoadTotals,
  pollIntervalMs: number,
): SoakVerdict[] {
  const secondHalf = samples.slice(Math.floor(samples.length / 2))
  const [thirdQuarter, lastQuarter] = [
    secondHalf.slice(0, secondHalf.length / 2),
    secondHalf.slice(secondHalf.length / 2),
  ]
  const memoryGrowth =
    riseOf(secondHalf.map(({ atMs, rssMiB }) => [atMs, rssMiB])) / mean(secondHalf.map(rss))
  const growthOf = (key: 'connections' | 'sockets') =>
    median(lastQuarter.map((sample) => sample[key])) -
    median(thirdQuarter.map((sample) => sample[key]))
  const successShare = totals.successfulReads / (totals.successfulReads + totals.failedReads)
  const maxDelayMs = pollIntervalMs + MAX_POLL_MS
  return [
    toVerdict(
      memoryGrowth <= MAX_MEMORY_GROWTH,
      `memory: rises in the second half by ${percent(memoryGrowth)} (limit ${percent(MAX_MEMORY_GROWTH)})`,
    ),
    ...(['connections', 'sockets'] as const).map((key) =>
      toVerdict(
        growthOf(key) <= MAX_ADDED_CONNECTIONS,
        `${key}: the median of the last quarter is ${growthOf(key)} above that of the third quarter (limit ${MAX_ADDED_CONNECTIONS})`,
      ),
    ),
    toVerdict(
      totals.receivedLogouts > 0 && totals.maxDelaySinceStorageMs <= maxDelayMs,
      `freshness: every subscriber received each of ${totals.receivedLogouts} logouts at most ${totals.maxDelaySinceStorageMs} ms after its storage (limit ${maxDelayMs} ms: one poll interval and ${MAX_POLL_MS} ms for the poll)`,
    ),
    toVerdict(
      successShare >= MIN_SUCCESS_SHARE,
      `reads: ${percent(successShare)} with status 200 (limit ${percent(MIN_SUCCESS_SHARE)})`,
    ),
  ]
}

function toVerdict(kept: boolean, text: string): SoakVerdict {
  return { kept, text }
}

/** Fits a line to the points by least squares. Returns how much it rises from the first point to the last. */
function riseOf(points: [x: number, y: number][]): number {
  const [meanX, meanY] = [mean(points.map(([x]) => x)), mean(points.map(([, y]) => y))]
  const sum = (term: (dx: number, dy: number) => number) =>
    points.reduce((total, [x, y]) => total + term(x - meanX, y - meanY), 0)
  const slope = sum((dx, dy) => dx * dy) / sum((dx) => dx * dx)
  return slope * ((points.at(-1)?.[0] ?? 0) - (points[0]?.[0] ?? 0))
}

function rss({ rssMiB }: Sample): number {
  return rssMiB
}

function mean(values: number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}

function median(values: number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`
}
