import { formatNumber } from '../figures.js'
import { median } from '../median.js'
import type { BenchResults } from '../results.js'
import type { ClientResult } from './clients.js'
import type { RowsResult } from './rows.js'
import type { SubscribersResult } from './subscribers.js'

/** How the cost of one unit of work, such as one read, changes from the smallest measured size to the largest. */
export interface CostGrowth {
  name: string
  from: string
  to: string
  /**
   * The cost of the unit at the largest size divided by its cost at the smallest size. If the factor is greater than 1,
   * the total cost grows faster than the work.
   */
  factor: number
}

/** Lists the costs that were measured for at least two sizes. */
export function listCosts({ rows, clients, subscribers }: BenchResults): CostGrowth[] {
  const describeUsers = (each: { users: number }) => `${formatNumber(each.users)} users`
  const sumBytes = (bytes: Record<string, number>) =>
    Object.values(bytes).reduce((a, b) => a + b, 0)
  const medianRate = (values: { requestsPerSecond: number }[]) =>
    median(values.map((each) => each.requestsPerSecond))
  const rowCost = (name: string, cost: (each: RowsResult) => number) =>
    compareExtremes(name, Object.values(rows), describeUsers, cost)
  const clientCost = (name: string, cost: (each: ClientResult) => number) =>
    compareExtremes(name, Object.values(clients), describeUsers, cost)
  const subscriberCost = (name: string, cost: (each: SubscribersResult) => number) =>
    compareExtremes(
      name,
      Object.values(subscribers),
      (each) => `${formatNumber(each.subscribers)} subscribers`,
      cost,
    )
  return [
    // The inverse of a rate is the time of one request.
    rowCost('time of a read', ({ reads }) => 1 / medianRate(reads)),
    rowCost('p99 of a read', ({ reads }) => median(reads.map(({ p99Ms }) => p99Ms))),
    rowCost('time to store a logout', (each) => 1 / median(each.logoutsPerSecond)),
    rowCost('time of a reported logout', ({ reports }) => 1 / medianRate(reports)),
    rowCost('bytes of a user and a session', (each) => sumBytes(each.bytes) / each.users),
    clientCost('time to load a user and a session', (each) => each.seconds / each.users),
    clientCost("a client's memory of a user and a session", (each) => each.bytes / each.users),
    subscriberCost(
      'p99 of the last refusal, divided by the number of clients',
      (each) => each.p99Ms / each.subscribers,
    ),
    subscriberCost(
      'time to deliver a change to a subscriber',
      (each) => 1 / median(each.changesPerSecond),
    ),
  ].flat()
}

function compareExtremes<Result>(
  name: string,
  results: Result[],
  describe: (result: Result) => string,
  cost: (result: Result) => number,
): CostGrowth[] {
  const [first, last] = [results[0], results.at(-1)]
  if (first === undefined || last === undefined || first === last) return []
  return [{ name, from: describe(first), to: describe(last), factor: cost(last) / cost(first) }]
}
