import type { Config } from '../config/config.js'
import type { Instant } from '../rules/instant.js'
import { type Check, failure, ok, warning } from './check.js'
import { formatDuration } from './format-duration.js'

const NAME = 'retention'

/** What the tenant keeps of its log, and what of it has been read. */
export interface RetentionFacts {
  /** Storage time of the oldest entry that is kept; `null`: none is, or it does not tell. */
  oldestAt: Instant | null
  /** By Auth0's clock. */
  now: Instant
  /** Up to where the log has been read; `null`: not yet; undefined: it is not known. */
  asOf: Instant | null | undefined
}

/** Whether anything was deleted before it was read, and how long an outage may last. */
export function checkRetention(
  { oldestAt, now, asOf }: RetentionFacts,
  { maxRefreshAgeMs }: Pick<Config, 'maxRefreshAgeMs'>,
): Check {
  if (oldestAt === null) {
    return warning(
      NAME,
      'no entry is kept that tells when it was stored',
      'log in once, and run this again',
    )
  }
  const oldest = new Date(oldestAt).toISOString()
  const keptMs = Math.max(0, now - oldestAt)
  const kept = `the oldest entry kept is of ${oldest}, ${formatDuration(keptMs)} ago`
  if (asOf === undefined) return ok(NAME, kept)
  if (asOf !== null && oldestAt > asOf) {
    return failure(
      NAME,
      `${kept}, and the log has been read up to ${new Date(asOf).toISOString()} only: what is between may be lost`,
      `end everybody's tokens from before: \`last-logout floor raise ${oldest}\`; then keep a worker running`,
    )
  }
  if (asOf === null && keptMs < maxRefreshAgeMs) {
    return warning(
      NAME,
      `${kept}, and MAX_REFRESH_AGE is ${formatDuration(maxRefreshAgeMs)}: a first start cannot know of logouts from before`,
      `to be safe from them, end everybody's tokens from before: \`last-logout floor raise ${oldest}\``,
    )
  }
  return ok(NAME, `${kept}: the worker may be away for as long as that and lose nothing`)
}
