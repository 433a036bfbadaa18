import { createManagementApi } from '../auth0/management-api.js'
import type { RateLimit } from '../auth0/rate/limit.js'
import type { Config } from '../config/config.js'
import { readLogId } from '../rules/entry.js'
import type { Instant } from '../rules/instant.js'
import { storageTimeOf } from '../rules/log-id.js'
import { examineScopes } from './access.js'
import { ACTION_CHECK, examineAction } from './action.js'
import { estimateVolume, examineBudget } from './budget.js'
import { type Check, describeError, failure, ok, skipped } from './check.js'
import { type ClockReading, examineClock, examineDatabaseClock } from './clock.js'
import { countAttribution, examineDelay, examineLogouts } from './logouts.js'
import { examineBehaviour, PROBE, type ProbeFacts } from './probe.js'
import { examineRetention } from './retention.js'
import { createTenantLog, type TenantLog } from './tenant-log.js'

/** What the tenant is examined with. */
export interface TenantOptions {
  config: Config<'auth0' | 'database'>
  /** Up to where the log has been read; `null`: not yet; undefined: it is not known. */
  asOf: Instant | null | undefined
  /** How far the clock of the database is ahead of that of this machine, in milliseconds; `null`: not known. */
  databaseAheadMs: number | null
  /** The name of the login Action. */
  actionName: string
  /** Also ask what only shows how the Logs API behaves. */
  probe: boolean
  signal: AbortSignal
}

/** Asks Auth0 for one token, three searches of the log, and the Actions; six times more to probe. */
export async function* examineTenant(options: TenantOptions): AsyncGenerator<Check> {
  const { config, actionName, signal } = options
  let scopes: string[] | null | undefined
  const onGrant = (granted: string[] | null) => {
    scopes = granted
  }
  const api = createManagementApi({ ...config.auth0, onGrant })
  const log = createTenantLog(api, config.auth0.rateShare, signal)
  const read = await readLog(log).catch((error: unknown) => ({ error }))

  if (scopes === undefined) {
    yield failure('token', 'error' in read ? describeError(read.error) : 'Auth0 gave none')
    yield* skipped(['scopes', ...namesOfLog(options), ACTION_CHECK], 'there is no token')
    return
  }
  const { baseUrl, proxy } = config.auth0
  const route = proxy === undefined ? '' : ` through the proxy ${proxy.url}`
  yield ok('token', `granted by ${baseUrl}${route}`)
  const may = examineScopes(scopes)
  yield may
  if (!('error' in read)) {
    yield* examineLog(read, options)
    if (options.probe) yield* probe(log, read, { api, ...config.auth0, signal })
  } else if (may.status === 'failure') {
    yield* skipped(namesOfLog(options), 'the scope is missing')
  } else {
    const [first = '', ...rest] = namesOfLog(options)
    yield failure(first, describeError(read.error))
    yield* skipped(rest, 'the log cannot be read')
  }
  yield await examineAction(api, actionName, { scopes, signal })
}

/** What the checks are called that need the log. */
function namesOfLog({ probe }: TenantOptions): string[] {
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

async function readLog(log: TenantLog): Promise<LogReading> {
  const newest = await log.read({ page: '0', per_page: '100', sort: 'date:-1' })
  const oldest = await log.read({ page: '0', per_page: '1', sort: 'date:1' })
  const logouts = await log.read({ q: 'type:slo', page: '0', per_page: '100', sort: 'date:-1' })
  return {
    newest: newest.entries,
    logouts: logouts.entries,
    oldestAt: storageTimeOf(readLogId(oldest.entries[0])),
    now: newest.clock.serverAt ?? newest.clock.sentAt,
    limit: logouts.limit,
    // Of the first request the token is a part.
    clock: oldest.clock,
  }
}

/** Of what was asked until one question failed, the answers stand. */
async function* probe(...args: Parameters<typeof examineBehaviour>): AsyncGenerator<Check> {
  try {
    yield* examineBehaviour(...args)
  } catch (error) {
    yield failure(PROBE, describeError(error))
  }
}

function* examineLog(
  reading: LogReading,
  { config, asOf, databaseAheadMs }: TenantOptions,
): Generator<Check> {
  const { newest, logouts, oldestAt, now, limit, clock } = reading
  yield ok('log', 'can be read and searched')
  yield examineClock(clock)
  yield examineDatabaseClock(clock, databaseAheadMs)
  yield* examineBudget({ limit, volume: estimateVolume(newest, now) }, config)
  yield examineRetention({ oldestAt, now, asOf }, config)
  yield examineDelay(newest)
  yield examineLogouts(countAttribution(logouts), config.policy)
}
