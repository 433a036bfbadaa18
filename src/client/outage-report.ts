import type { Clocks } from './clocks.js'
import type { LastLogoutClientError } from './errors.js'

/** Failures that follow within this time after a success belong to the same outage, in milliseconds. */
const STABLE_MS = 60_000

/** Reports failures, each kind once in an outage. */
export interface OutageReport {
  failed(error: LastLogoutClientError): void
  succeeded(): void
}

/**
 * Creates a report that calls `onError` with the first failure of each `code` in an outage. An outage ends with a
 * success that no failure follows for a minute: a service that is only sometimes available causes one report.
 */
export function createOutageReport(
  onError: ((error: unknown) => void) | undefined,
  { wall }: Pick<Clocks, 'wall'>,
): OutageReport {
  const reported = new Set<string>()
  /** The first success since the latest failure. */
  let succeededAt: number | null = null
  return {
    failed(error) {
      if (succeededAt !== null && wall() - succeededAt >= STABLE_MS) reported.clear()
      succeededAt = null
      if (reported.has(error.code)) return
      reported.add(error.code)
      onError?.(error)
    },
    succeeded() {
      if (reported.size > 0) succeededAt ??= wall()
    },
  }
}
