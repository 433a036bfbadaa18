import type { PollOptions } from '../../src/sync/poll.js'

/** Durations in milliseconds. */
export const SECOND = 1_000
export const MINUTE = 60 * SECOND
export const HOUR = 60 * MINUTE
export const DAY = 24 * HOUR

/** The default options of a poll, the run of the worker that reads the log to its end. */
export const POLL_OPTIONS: PollOptions = {
  reconcileWindowMs: 15 * MINUTE,
  maxRefreshAgeMs: 30 * DAY,
  maxTokenAgeMs: DAY,
  pollIntervalMs: 5 * SECOND,
  onGap: 'record',
}

/** The types of log entries that count as a logout by default. */
export const LOGOUT_TYPES: ReadonlySet<string> = new Set(['slo', 'universal_logout_succeeded'])
