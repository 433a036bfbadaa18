/** The measurements of the service at one moment. */
export interface Sample {
  /** Time since the beginning of the measurement. */
  atMs: number
  /** Resident memory, in megabytes. */
  rssMb: number
  /** Number of connections to PostgreSQL. */
  connections: number
  /** Number of open sockets, including those to PostgreSQL. */
  sockets: number
}

/** The results of the load over the whole run. */
export interface LoadTotals {
  reads: number
  failed: number
  /** Maximum time from the storage of a logout's entry until every subscriber received the logout. */
  behindMs: number
  logouts: number
}

/** A limit, and whether it was kept. */
export interface SoakVerdict {
  kept: boolean
  text: string
}

/**
 * Maximum growth of the memory in the second half of a run. The noise of garbage collection is smaller. In a run of ten
 * minutes, a leak of this size would double the memory in 50 minutes.
 */
const MAX_GROWTH = 0.1
const MAX_ADDED_CONNECTIONS = 2
const MIN_SUCCESS_SHARE = 0.999

/** Duration of a poll, in milliseconds. An entry that is stored during a poll is read by the next one. */
const POLL_TIME_MS = 2_000

/** Judges a run. The first half of the samples is the warm-up. */
export function judgeSoak(
  samples: Sample[],
  totals: LoadTotals,
  pollIntervalMs: number,
): SoakVerdict[] {
  const half = samples.slice(Math.floor(samples.length / 2))
  const [third, last] = [half.slice(0, half.length / 2), half.slice(half.length / 2)]
  const growth = riseOf(half.map(({ atMs, rssMb }) => [atMs, rssMb])) / mean(half.map(rss))
  const added = (key: 'connections' | 'sockets') =>
    median(last.map((sample) => sample[key])) - median(third.map((sample) => sample[key]))
  const successShare = totals.reads / (totals.reads + totals.failed)
  const allowedMs = pollIntervalMs + POLL_TIME_MS
  return [
    verdict(
      growth <= MAX_GROWTH,
      `memory: rises in the second half by ${percent(growth)} (limit ${percent(MAX_GROWTH)})`,
    ),
    ...(['connections', 'sockets'] as const).map((key) =>
      verdict(
        added(key) <= MAX_ADDED_CONNECTIONS,
        `${key}: ${added(key)} more in the last quarter than in the third, by median (limit ${MAX_ADDED_CONNECTIONS})`,
      ),
    ),
    verdict(
      totals.logouts > 0 && totals.behindMs <= allowedMs,
      `freshness: every subscriber received each of ${totals.logouts} logouts at most ${totals.behindMs} ms after its storage (limit ${allowedMs} ms: one poll interval and ${POLL_TIME_MS} ms for the poll)`,
    ),
    verdict(
      successShare >= MIN_SUCCESS_SHARE,
      `reads: ${percent(successShare)} with status 200 (limit ${percent(MIN_SUCCESS_SHARE)})`,
    ),
  ]
}

function verdict(kept: boolean, text: string): SoakVerdict {
  return { kept, text }
}

/** The rise of the least-squares line from the first point to the last. */
function riseOf(points: [x: number, y: number][]): number {
  const [meanX, meanY] = [mean(points.map(([x]) => x)), mean(points.map(([, y]) => y))]
  const sum = (of: (dx: number, dy: number) => number) =>
    points.reduce((total, [x, y]) => total + of(x - meanX, y - meanY), 0)
  const slope = sum((dx, dy) => dx * dy) / sum((dx) => dx * dx)
  return slope * ((points.at(-1)?.[0] ?? 0) - (points[0]?.[0] ?? 0))
}

function rss({ rssMb }: Sample): number {
  return rssMb
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
