import { createManagementApi, type ManagementApi } from '../auth0/management-api.js'
import type { Config } from '../config.js'
import { hasCode } from '../errors.js'
import { readLogId } from '../rules/entry.js'
import type { Instant } from '../rules/instant.js'
import { storageTimeOf } from '../rules/log-id.js'
import { examineClock, examineScopes } from './access.js'
import { ACTION_CHECK, examineAction } from './action.js'
import { estimateVolume, examineBudget } from './budget.js'
import { type Check, describeError, failure, ok, skipped } from './check.js'
import { countAttribution, examineDelay, examineLogouts } from './logouts.js'
import { examineBehaviour, PROBE } from './probe.js'
import { examineRetention } from './retention.js'
import { createTenantLog, type LogAnswer, type TenantLog } from './tenant-log.js'

/** What the tenant is examined with. */
export interface TenantOptions {
  config: Config
  /** Up to where the log has been read; `null`: not yet, or it is not known. */
  asOf: Instant | null
  /** The name of the login Action. */
  actionName: string
  /** Also ask what only shows how the Logs API behaves. */
  probe: boolean
  signal: AbortSignal
}

/** What is told by the entries of the log. */
const OF_ENTRIES = ['clock', 'rate limit', 'poll budget', 'retention', 'storage delay', 'logouts']

/** Asks Auth0: one token, three searches of the log, two about Actions, and six more to probe. */
export async function* examineTenant(options: TenantOptions): AsyncGenerator<Check> {
  const { config, actionName, signal } = options
  let scopes: string[] | null | undefined
  const onGrant = (granted: string[] | null) => {
    scopes = granted
  }
  const api = createManagementApi({ ...config.auth0, onGrant })
  const log = createTenantLog(api, config.auth0.rateShare, signal)
  let refusal: unknown
  const newest = await log
    .read({ page: '0', per_page: '100', sort: 'date:-1' })
    .catch((error: unknown) => {
      refusal = error
      return null
    })

  const names = [...OF_ENTRIES, ...(options.probe ? [PROBE] : [])]
  if (scopes === undefined) {
    yield failure('token', describeError(refusal))
    yield* skipped(['scopes', ...names, ACTION_CHECK], 'there is no token')
    return
  }
  yield ok('token', `granted by ${config.auth0.baseUrl}`)
  yield examineScopes(scopes)
  if (newest === null) {
    yield* toUnreadable(refusal, names)
  } else {
    yield* examineLog(log, newest, { ...options, api })
  }
  yield await examineAction(api, actionName, signal).catch((error) =>
    failure(ACTION_CHECK, describeError(error)),
  )
}

/** A missing scope has a line of its own. */
function toUnreadable(refusal: unknown, names: string[]): Check[] {
  const [first = '', ...rest] = names
  if (hasCode(refusal, 'AUTH0_SCOPE'))
    return skipped(names, 'the log cannot be read without read:logs')
  return [failure(first, describeError(refusal)), ...skipped(rest, 'the log cannot be read')]
}

async function* examineLog(
  log: TenantLog,
  newest: LogAnswer,
  { config, asOf, probe, api, signal }: TenantOptions & { api: ManagementApi },
): AsyncGenerator<Check> {
  try {
    const oldest = await log.read({ page: '0', per_page: '1', sort: 'date:1' })
    const logouts = await log.read({ q: 'type:slo', page: '0', per_page: '100', sort: 'date:-1' })
    const now = newest.clock.serverAt ?? newest.clock.sentAt
    const oldestAt = storageTimeOf(readLogId(oldest.entries[0]) ?? '')

    // Of the first request the token is a part.
    yield examineClock(oldest.clock)
    const volume = estimateVolume(newest.entries, now)
    yield* examineBudget({ limit: logouts.limit, volume }, config)
    yield examineRetention({ oldestAt, now, asOf }, config)
    yield examineDelay(newest.entries)
    yield examineLogouts(countAttribution(logouts.entries, now), config.policy)
    if (!probe) return
    const facts = { newest: newest.entries, logouts: logouts.entries, oldestAt, now }
    yield* examineBehaviour(log, facts, { api, rateShare: config.auth0.rateShare, signal })
  } catch (error) {
    yield failure('log', describeError(error))
  }
}
