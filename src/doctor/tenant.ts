import { createManagementApi } from '../auth0/management-api.js'
import type { RateLimit } from '../auth0/rate/limit.js'
import type { Config } from '../config/config.js'
import { readLogId } from '../rules/entry.js'
import type { Instant } from '../rules/instant.js'
import { storageTimeOf } from '../rules/log-id.js'
import { ACTION_CHECK, checkAction } from './action.js'
import { checkBudget, estimateVolume } from './budget.js'
import { type Check, describeError, failure, ok, skipped } from './check.js'
import { type ClockReading, checkClock, checkDatabaseClock } from './clock.js'
import { checkLogouts, checkStorageDelay, countAttribution } from './logouts.js'
import { createLogsApi, type LogsApi } from './logs-api.js'
import { PROBE, type ProbeFacts, probeLogsApi } from './probe.js'
import { checkRetention } from './retention.js'
import { checkScopes } from './scopes.js'

/** Options of the checks of the tenant. */
export interface TenantOptions {
  config: Config<'auth0' | 'database'>
  /** The instant up to which the log has been read; `null`: nothing was read yet; undefined: unknown. */
  asOf: Instant | null | undefined
  /** How far the clock of the database is ahead of the clock of this machine, in milliseconds; `null`: unknown. */
  databaseAheadMs: number | null
  /** The name of the login Action. */
  actionName: string
  /** Whether to test undocumented behavior of the Logs API too. */
  probe: boolean
  signal: AbortSignal
}

/**
 * Checks the tenant. Requests one token, searches the log three times, and reads the Actions. With `probe`, sends six
 * more requests.
 */
export async function* checkTenant(options: TenantOptions): AsyncGenerator<Check> {
  const { config, actionName, signal } = options
  let scopes: string[] | null | undefined
  const onGrant = (granted: string[] | null) => {
    scopes = granted
  }
  const api = createManagementApi({ ...config.auth0, onGrant })
  const log = createLogsApi(api, config.auth0.rateShare, signal)
  const reading = await readLog(log).catch((error: unknown) => ({ error }))

  if (scopes === undefined) {
    yield failure(
      'token',
      'error' in reading ? describeError(reading.error) : 'Auth0 granted no token',
    )
    yield* skipped(['scopes', ...logCheckNames(options), ACTION_CHECK], 'there is no token')
    return
  }
  const { baseUrl, proxy } = config.auth0
  const route = proxy === undefined ? '' : ` through the proxy ${proxy.url}`
  yield ok('token', `granted by ${baseUrl}${route}`)
  const scopesCheck = checkScopes(scopes)
  yield scopesCheck
  if (!('error' in reading)) {
    yield* checkLog(reading, options)
    if (options.probe) yield* probe(log, reading, { api, ...config.auth0, signal })
  } else if (scopesCheck.status === 'failure') {
    yield* skipped(logCheckNames(options), 'the scope read:logs is missing')
  } else {
    const [firstName = '', ...otherNames] = logCheckNames(options)
    yield failure(firstName, describeError(reading.error))
    yield* skipped(otherNames, 'the log cannot be read')
  }
  yield await checkAction(api, actionName, { scopes, signal })
}

/** Returns the names of the checks that need the log. */
function logCheckNames({ probe }: TenantOptions): string[] {
  const names = [
    'log',
    'clock',
    'database clock',
    'rate limit',
    'poll budget',
    'retention',
    'storage delay',
    'logouts',
  ]
  return probe ? [...names, PROBE] : names
}

interface LogReading extends ProbeFacts {
  limit: RateLimit | null
  clock: ClockReading
}

async function readLog(log: LogsApi): Promise<LogReading> {
  const newest = await log.read({ page: '0', per_page: '100', sort: 'date:-1' })
  const oldest = await log.read({ page: '0', per_page: '1', sort: 'date:1' })
  const logouts = await log.read({ q: 'type:slo', page: '0', per_page: '100', sort: 'date:-1' })
  return {
    newest: newest.entries,
    logouts: logouts.entries,
    oldestAt: storageTimeOf(readLogId(oldest.entries[0])),
    now: newest.clock.serverAt ?? newest.clock.sentAt,
    limit: logouts.limit,
    // Not the clock of the first request, whose duration includes the token request.
    clock: oldest.clock,
  }
}

/**
 * Tests undocumented behavior of the Logs API. If a request fails, still yields the results of the earlier requests.
 */
async function* probe(...args: Parameters<typeof probeLogsApi>): AsyncGenerator<Check> {
  try {
    yield* probeLogsApi(...args)
  } catch (error) {
    yield failure(PROBE, describeError(error))
  }
}

function* checkLog(
  reading: LogReading,
  { config, asOf, databaseAheadMs }: TenantOptions,
): Generator<Check> {
  const { newest, logouts, oldestAt, now, limit, clock } = reading
  yield ok('log', 'can be read and searched')
  yield checkClock(clock)
  yield checkDatabaseClock(clock, databaseAheadMs)
  yield* checkBudget({ limit, volume: estimateVolume(newest, now) }, config)
  yield checkRetention({ oldestAt, now, asOf }, config)
  yield checkStorageDelay(newest)
  yield checkLogouts(countAttribution(logouts), config.policy)
}
