import type { PollOptions } from '../../src/sync/poll.js'

export const SECOND = 1_000
export const MINUTE = 60 * SECOND
export const HOUR = 60 * MINUTE
export const DAY = 24 * HOUR

/** The default options of a poll. */
export const POLL_OPTIONS: PollOptions = {
  reconcileWindowMs: 15 * MINUTE,
  maxRefreshAgeMs: 30 * DAY,
  maxTokenAgeMs: DAY,
  pollIntervalMs: 5 * SECOND,
  onGap: 'record',
}

/** The event types that count as a logout by default. */
export const TYPES: ReadonlySet<string> = new Set(['slo', 'universal_logout_succeeded'])
