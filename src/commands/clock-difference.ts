import { MAX_CLOCK_AHEAD_MS } from '../rules/freshness.js'
import { type Instant, toDateTime } from '../rules/instant.js'

/**
 * A line for an operator whose machine tells another time than the database, which decides; empty where
 * the two differ by no more than a minute. Both are to be read at the same time.
 */
export function describeClockDifference(databaseNow: Instant, machineNow: Instant): string {
  const aheadMs = machineNow - databaseNow
  if (Math.abs(aheadMs) <= MAX_CLOCK_AHEAD_MS) return ''
  const seconds = Math.round(Math.abs(aheadMs) / 1000)
  return `The clock of this machine is ${seconds} s ${aheadMs > 0 ? 'ahead of' : 'behind'} that of the database, where it is ${toDateTime(databaseNow)}. The clock of the database decides.\n`
}
