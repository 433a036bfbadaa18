import type { Config } from '../config/config.js'
import { tokenHorizonMs } from '../rules/gap-state.js'
import type { Instant } from '../rules/instant.js'
import { type Check, failure, ok, warning } from './check.js'
import { formatDuration } from './format-duration.js'

const NAME = 'retention'

/** Which part of its log the tenant retains, and how far it has been read. */
export interface RetentionFacts {
  /** Storage time of the oldest retained entry; `null`: there is none, or its log id contains no time. */
  oldestAt: Instant | null
  /** By Auth0's clock. */
  now: Instant
  /** The instant up to which the log has been read; `null`: not read yet; undefined: unknown. */
  asOf: Instant | null | undefined
}

/** Checks that no entry was deleted before it was read, and reports how long an outage may last. */
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
  const keptMs = Math.max(0, now - oldestAt)
  const kept = `the oldest retained entry was stored at ${oldest}, ${formatDuration(keptMs)} ago`
  if (asOf === undefined) return ok(NAME, kept)
  if (asOf !== null && oldestAt > asOf) {
    return failure(
      NAME,
      `${kept}, but the log has been read only up to ${new Date(asOf).toISOString()}: logouts in between may be lost`,
      `end all tokens from before: \`last-logout floor raise ${oldest}\`; then keep a worker running`,
    )
  }
  const horizonMs = tokenHorizonMs(config)
  if (asOf === null && keptMs < horizonMs) {
    return ok(
      NAME,
      `${kept}, and MAX_REFRESH_AGE plus MAX_TOKEN_AGE is ${formatDuration(horizonMs)}: the first start cannot find older logouts, as expected on most plans; \`last-logout status\` shows until when they can concern tokens`,
    )
  }
  return ok(NAME, `${kept}: a shorter outage of the worker loses nothing`)
}
