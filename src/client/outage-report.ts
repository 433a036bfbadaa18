import type { Clocks } from './clocks.js'
import type { LastLogoutClientError } from './errors.js'

/** A failure within this time after a success belongs to the same outage, in milliseconds. */
const STABLE_MS = 60_000

/** Reports each kind of failure once per outage. */
export interface OutageReport {
  recordFailure(error: LastLogoutClientError): void
  recordSuccess(): void
}

/**
 * Creates a report that calls `onError` with the first failure of each `code` per outage. An outage ends if no failure
 * follows a success for a minute. A service that alternates between success and failure therefore causes one report.
 */
export function createOutageReport(
  onError: ((error: unknown) => void) | undefined,
  { wall }: Pick<Clocks, 'wall'>,
): OutageReport {
  const reported = new Set<string>()
  /** The first success since the latest failure. */
  let succeededAt: number | null = null
  return {
    recordFailure(error) {
      if (succeededAt !== null && wall() - succeededAt >= STABLE_MS) reported.clear()
      succeededAt = null
      if (reported.has(error.code)) return
      reported.add(error.code)
      onError?.(error)
    },
    recordSuccess() {
      if (reported.size > 0) succeededAt ??= wall()
    },
  }
}
