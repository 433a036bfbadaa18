import { MAX_CLOCK_AHEAD_MS } from '../rules/freshness.js'
import { type Instant, toDateTime } from '../rules/instant.js'

/**
 * Describes how the clock of this machine differs from the clock of the database. Both instants must be
 * read at the same time.
 *
 * @returns One line, or the empty string if the clocks differ by no more than a minute.
 */
export function describeClockDifference(databaseNow: Instant, machineNow: Instant): string {
  const aheadMs = machineNow - databaseNow
  if (Math.abs(aheadMs) <= MAX_CLOCK_AHEAD_MS) return ''
  const seconds = Math.round(Math.abs(aheadMs) / 1000)
  return `The clock of this machine is ${seconds} s ${aheadMs > 0 ? 'ahead of' : 'behind'} the clock of the database, which shows ${toDateTime(databaseNow)}. The clock of the database applies.\n`
}
