import { MAX_CLOCK_AHEAD_MS } from '../rules/freshness.js'
import { type Instant, toDateTime } from '../rules/instant.js'

/**
 * Describes the difference between the clock of this machine and the clock of the database. The two arguments are the
 * times of both clocks at the same moment.
 *
 * @returns One line. An empty string if the difference is at most a minute.
 */
export function describeClockDifference(databaseNow: Instant, machineNow: Instant): string {
  const aheadMs = machineNow - databaseNow
  if (Math.abs(aheadMs) <= MAX_CLOCK_AHEAD_MS) return ''
  const seconds = Math.round(Math.abs(aheadMs) / 1000)
  return `The clock of this machine is ${seconds} s ${aheadMs > 0 ? 'ahead of' : 'behind'} the clock of the database, which shows ${toDateTime(databaseNow)}. The clock of the database applies.\n`
}
