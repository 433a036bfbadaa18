/** The service at one moment. */
export interface Sample {
  atMs: number
  rssMb: number
  /** Its connections to PostgreSQL. */
  connections: number
  /** Its open sockets, those to PostgreSQL included. */
  sockets: number
}

/** What the readers have seen in all. */
export interface Seen {
  reads: number
  failed: number
  /** The longest from the storage of a logout until every feed client knew it. */
  behindMs: number
  logouts: number
}

/** One promise, and whether it was kept. */
export interface Verdict {
  kept: boolean
  text: string
}

/** Garbage comes and goes; a leak of this size would double the memory in an hour and a half. */
const MOST_GROWTH = 0.1
const MOST_MORE_CONNECTIONS = 2
const LEAST_ANSWERED = 0.999

/** A poll pages, stores and tells the feed: what is stored during one waits for the next, and its end. */
export const POLL_TIME_MS = 2_000

/** Judges a run. The first half of the samples is for warming up. */
export function judgeSoak(samples: Sample[], seen: Seen, pollIntervalMs: number): Verdict[] {
  const half = samples.slice(Math.floor(samples.length / 2))
  const [third, last] = [half.slice(0, half.length / 2), half.slice(half.length / 2)]
  const growth = riseOf(half.map(({ atMs, rssMb }) => [atMs, rssMb])) / mean(half.map(rss))
  const more = (key: 'connections' | 'sockets') =>
    median(last.map((sample) => sample[key])) - median(third.map((sample) => sample[key]))
  const answered = seen.reads / (seen.reads + seen.failed)
  const allowedMs = pollIntervalMs + POLL_TIME_MS
  return [
    verdict(
      growth <= MOST_GROWTH,
      `memory: over the second half its line rises by ${percent(growth)} (limit ${percent(MOST_GROWTH)})`,
    ),
    ...(['connections', 'sockets'] as const).map((key) =>
      verdict(
        more(key) <= MOST_MORE_CONNECTIONS,
        `${key}: ${more(key)} more in the last quarter than in the third, by the median (limit ${MOST_MORE_CONNECTIONS})`,
      ),
    ),
    verdict(
      seen.logouts > 0 && seen.behindMs <= allowedMs,
      `freshness: the latest of ${seen.logouts} logouts was known to every client ${seen.behindMs} ms after its storage (limit ${allowedMs} ms: one poll interval and ${POLL_TIME_MS} ms for the poll)`,
    ),
    verdict(
      answered >= LEAST_ANSWERED,
      `reads: ${percent(answered)} answered with 200 (limit ${percent(LEAST_ANSWERED)})`,
    ),
  ]
}

function verdict(kept: boolean, text: string): Verdict {
  return { kept, text }
}

/** By how much the line of the least squares rises from the first point to the last. */
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
