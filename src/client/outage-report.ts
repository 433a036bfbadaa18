import type { Clocks } from './clocks.js'
import type { LastLogoutClientError } from './errors.js'

/** Time without a failure after a success until an outage has ended, in milliseconds. */
const STABLE_MS = 60_000

/** Reports each kind of failure once per outage. */
export interface OutageReport {
  recordFailure(error: LastLogoutClientError): void
  recordSuccess(): void
}

/**
 * Creates a report that calls `onError` with the first failure of each `code` per outage. An outage ends when no
 * failure has occurred for a minute after a success. So a service that alternates between success and failure causes
 * one report.
 */
export function createOutageReport(
  onError: ((error: unknown) => void) | undefined,
  { wall }: Pick<Clocks, 'wall'>,
): OutageReport {
  const reportedCodes = new Set<string>()
  /** The first success since the latest failure. */
  let succeededAt: number | null = null
  return {
    recordFailure(error) {
      if (succeededAt !== null && wall() - succeededAt >= STABLE_MS) reportedCodes.clear()
      succeededAt = null
      if (reportedCodes.has(error.code)) return
      reportedCodes.add(error.code)
      onError?.(error)
    },
    recordSuccess() {
      if (reportedCodes.size > 0) succeededAt ??= wall()
    },
  }
}
