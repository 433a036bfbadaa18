import type { ChildProcess } from 'node:child_process'
import { type BenchRun, forkProcess, receiveMessage } from '../bench-run.js'
import { type BenchDatabase, openBenchDatabase } from '../open-bench-database.js'
import { runBenchmark } from '../run-benchmark.js'
import { startApi } from '../start-api.js'
import { sessionIdOf, userIdOf } from '../subjects.js'
import type { MarkerReceived } from './subscribers-process.js'

/** The measurements with `subscribers` subscribers of one API process. Each array has one value per round. */
export interface SubscribersResult {
  subscribers: number
  /** Median time from the response to a reported logout until all clients refuse the user's token, in milliseconds. */
  p50Ms: number
  p99Ms: number
  /** Changes delivered per second, counted once for each subscriber. */
  changesPerSecond: number[]
  /** Size of a change in the stream. */
  bytesPerChange: number
}

/** Number of reported logouts, as an argument of `feed.ts`. The p99 of fewer would be their maximum. */
const REPORTS = '200'
const ROUNDS = 5

/**
 * Number of users whose logouts are stored in one transaction, with one session each. These are two changes per user,
 * which fill one page of the feed.
 */
const LOGOUTS_PER_ROUND = 500

/**
 * Measures how long one reported logout takes to reach all clients, and how many changes per second reach subscribers
 * if many logouts are stored in one transaction.
 */
export async function measureSubscriberLoad(
  run: BenchRun,
  subscribers: number,
): Promise<SubscribersResult> {
  const [figure] = await runBenchmark(run, 'feed', [REPORTS, String(subscribers)])
  const { p50Ms = Number.NaN, p99Ms = Number.NaN } = figure?.values ?? {}
  return { subscribers, p50Ms, p99Ms, ...(await measureThroughput(run, subscribers)) }
}

async function measureThroughput(run: BenchRun, subscribers: number) {
  const bench = await openBenchDatabase(run, 0)
  const api = await startApi(run, bench.url)
  const child = forkProcess(run, 'growth/subscribers-process.ts', [api.url, String(subscribers)])
  await receiveMessage<MarkerReceived>(child)
  const changesPerSecond: number[] = []
  let bytesPerChange = 0
  // Round 0 opens connections. Its time does not count.
  for (let round = 0; round <= ROUNDS; round++) {
    const { seconds, bytes } = await deliver(bench, child, round)
    if (round > 0) changesPerSecond.push((2 * LOGOUTS_PER_ROUND * subscribers) / seconds)
    bytesPerChange = bytes / (2 * LOGOUTS_PER_ROUND)
  }
  return { changesPerSecond, bytesPerChange }
}

/**
 * Stores logouts in one transaction. Returns the time from the beginning of the transaction until the last subscriber
 * has received the last logout.
 */
async function deliver({ store }: BenchDatabase, child: ChildProcess, round: number) {
  const numbers = Array.from({ length: LOGOUTS_PER_ROUND }, (_, n) => round * LOGOUTS_PER_ROUND + n)
  // The child searches the feed for the id of the last session, which is stored last.
  const watching = receiveMessage<string>(child)
  child.send(sessionIdOf(numbers.at(-1) ?? 0))
  await watching
  const delivery = receiveMessage<MarkerReceived>(child)
  const logout = { at: Date.now(), logId: '', type: 'slo' }
  const startMs = performance.timeOrigin + performance.now()
  await store.storeBatch({
    users: numbers.map((n) => ({ userId: userIdOf(n), allSessionsAt: null, ...logout })),
    sessions: numbers.map((n) => ({
      sessionId: sessionIdOf(n),
      userId: userIdOf(n),
      ended: true,
      ...logout,
    })),
    unattributable: [],
  })
  const { atMs, bytes } = await delivery
  return { seconds: (atMs - startMs) / 1000, bytes }
}
