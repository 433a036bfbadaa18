import type { Config } from '../config/config.js'
import { tokenHorizonMs } from '../rules/gap-state.js'
import type { Instant } from '../rules/instant.js'
import { type Check, failure, ok, warning } from './check.js'
import { formatDuration } from './format-duration.js'

const NAME = 'retention'

/** The time of the oldest entry that Auth0 retains, and how far the log has been read. */
export interface RetentionFacts {
  /** The storage time of the oldest retained entry; `null`: no entry is retained, or its log id contains no time. */
  oldestAt: Instant | null
  /** The time by Auth0's clock. */
  now: Instant
  /** The instant up to which the log has been read; `null`: nothing was read yet; undefined: unknown. */
  asOf: Instant | null | undefined
}

/**
 * Checks that Auth0 deleted no entry before the entry was read. Reports how long the worker can stop without a loss.
 */
export function checkRetention(
  { oldestAt, now, asOf }: RetentionFacts,
  config: Pick<Config, 'maxRefreshAgeMs' | 'maxTokenAgeMs'>,
): Check {
  if (oldestAt === null) {
    return warning(
      NAME,
      'no retained entry has a storage time',
      'log in once, then run this command again',
    )
  }
  const oldest = new Date(oldestAt).toISOString()
  const ageMs = Math.max(0, now - oldestAt)
  const message = `the oldest retained entry was stored at ${oldest}, ${formatDuration(ageMs)} ago`
  if (asOf === undefined) return ok(NAME, message)
  if (asOf !== null && oldestAt > asOf) {
    return failure(
      NAME,
      `${message}, but the log has been read only up to ${new Date(asOf).toISOString()}: logouts in between may be lost`,
      `end all tokens from before: \`last-logout floor raise ${oldest}\`; then keep a worker running`,
    )
  }
  const horizonMs = tokenHorizonMs(config)
  if (asOf === null && ageMs < horizonMs) {
    return ok(
      NAME,
      `${message}, and MAX_REFRESH_AGE plus MAX_TOKEN_AGE is ${formatDuration(horizonMs)}: the first start cannot find older logouts, as expected on most plans; if that is a gap, \`last-logout status\` shows until when it can concern tokens`,
    )
  }
  return ok(NAME, `${message}: a shorter outage of the worker loses nothing`)
}
