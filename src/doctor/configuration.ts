import type { Config } from '../config/config.js'
import { DEFAULT_MAX_STALENESS_MS } from '../rules/freshness.js'
import { type Check, ok, warning } from './check.js'
import { formatDuration } from './format-duration.js'

const NAME = 'configuration'

/** Auth0 writes an `api_limit_warning` entry to the log when more than this share of the rate limit is used. */
const RISKY_SHARE = 0.8

/** Checks for settings that are valid but risky: alone, or together with others. */
export function checkConfiguration(config: Config): Check[] {
  const { pollIntervalMs, maxLagMs, http, auth0 } = config
  const risks = [
    pollIntervalMs >= maxLagMs &&
      warning(
        NAME,
        `POLL_INTERVAL (${formatDuration(pollIntervalMs)}) is not below MAX_LAG (${formatDuration(maxLagMs)}): /health/fresh fails between two polls`,
        'set MAX_LAG to at least three times POLL_INTERVAL',
      ),
    maxLagMs > DEFAULT_MAX_STALENESS_MS &&
      warning(
        NAME,
        `MAX_LAG (${formatDuration(maxLagMs)}) is above ${formatDuration(DEFAULT_MAX_STALENESS_MS)}, after which clients treat their data as stale: their checks return unknown before you are alerted`,
        'lower MAX_LAG, or raise maxStalenessMs in the clients',
      ),
    auth0.rateShare > RISKY_SHARE &&
      warning(
        NAME,
        `RATE_SHARE (${auth0.rateShare}) leaves little of the rate limit to the tenant's other applications`,
        'set RATE_SHARE to 0.5',
      ),
    http.apiKeys.length === 0 &&
      warning(
        NAME,
        'API_KEYS is empty: `start` and `api` do not run here',
        'set API_KEYS, unless this machine runs only the worker',
      ),
  ].filter((check) => check !== false)
  return risks.length > 0 ? risks : [ok(NAME, `for ${auth0.domain}, policy ${config.policy}`)]
}
