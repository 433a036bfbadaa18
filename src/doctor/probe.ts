import { createLogSource, type LogSourceOptions } from '../auth0/log-source.js'
import { readLogId } from '../rules/entry.js'
import { DAY_MS, type Instant } from '../rules/instant.js'
import { prefixOf, storageTimeOf, syntheticLogId } from '../rules/log-id.js'
import { type Check, failure, ok, skipped, warning } from './check.js'
import type { LogResponse, LogsApi } from './logs-api.js'

/** The prefix of the names of the checks in this file. */
export const PROBE = 'probe'

/** Maximum number of entries in a page. */
const PAGE_SIZE = 10

/** Results of earlier checks of the log. */
export interface ProbeFacts {
  /** The newest entries. */
  newest: unknown[]
  /** The newest `slo` entries. */
  logouts: unknown[]
  oldestAt: Instant | null
  now: Instant
}

/**
 * Tests behavior of the Logs API that Auth0 does not document: how the API handles positions in the log, and whether it
 * can search by log id. The worker supports every behavior that these checks do not report as a failure.
 */
export async function* probeLogsApi(
  log: LogsApi,
  { newest, logouts, oldestAt, now }: ProbeFacts,
  source: LogSourceOptions & { signal: AbortSignal },
): AsyncGenerator<Check> {
  const ids = newest.flatMap((entry) => readLogId(entry) ?? []).sort()
  const [first] = ids
  const at = first === undefined ? null : storageTimeOf(first)
  if (first === undefined || at === null) {
    yield* skipped([PROBE], 'no entry has a log id of the known layout')
    return
  }
  const prefix = prefixOf(first)
  const request = (from: string) => log.request({ from, take: `${PAGE_SIZE}` })

  yield checkPage(await request(first), first, ids.length - 1)
  yield checkSyntheticId(await request(syntheticLogId(at, prefix)), first)
  const expiredId = syntheticLogId((oldestAt ?? now) - DAY_MS, prefix)
  yield describeResponse(
    'expired',
    'an id older than every retained entry',
    await request(expiredId),
    'is accepted without an error',
  )
  yield describeResponse('bad id', 'a malformed id', await request('no-log-id'), 'is accepted')
  yield describeTakeAlone(await log.request({ take: `${PAGE_SIZE}` }))
  yield await checkSearch(logouts, source)
}

/**
 * Checks that the entries of a page are newer than `from` and in ascending order, as the worker requires.
 *
 * @param laterCount The known number of entries after `from`.
 */
export function checkPage(response: LogResponse, from: string, laterCount: number): Check {
  const name = `${PROBE}: page`
  const ids = response.entries.map((entry) => readLogId(entry) ?? '')
  if (response.status !== 200) {
    return failure(name, `a request from the id of an entry gets the status ${response.status}`)
  }
  const isOrdered = ids.every((id, index) => id > (ids[index - 1] ?? from))
  if (!isOrdered) {
    return failure(
      name,
      'the entries are not strictly newer than the checkpoint and in ascending order: logouts may be skipped',
      'please report this: the tenant does not behave as Auth0 documents',
    )
  }
  const link = response.hasLink ? 'with a Link' : 'without a Link'
  const short =
    ids.length < Math.min(PAGE_SIZE, laterCount)
      ? ', but fewer than requested before the end of the log'
      : ''
  return ok(name, `${ids.length} entries in ascending order, no duplicates, ${link}${short}`)
}

/**
 * Checks that Auth0 accepts a synthetic log id (an id that was made from a time) as a position in the log. The first
 * start reads the log from a synthetic id.
 */
export function checkSyntheticId(response: LogResponse, next: string): Check {
  const name = `${PROBE}: position`
  const first = readLogId(response.entries[0])
  if (response.status === 200 && first !== null && first <= next) {
    return ok(name, 'a synthetic id is accepted as a position in the log')
  }
  return failure(
    name,
    response.status === 200
      ? 'a synthetic id is not accepted as a position: the entries after it are missing'
      : `a synthetic id is refused (${response.status})`,
    'please report this: the first start begins at such an id',
  )
}

/** Reports a response of any status. `what` names the tested value. `accepted` describes a response with status 200. */
function describeResponse(
  name: string,
  what: string,
  response: LogResponse,
  accepted: string,
): Check {
  const { status, entries } = response
  const message =
    status === 200 ? `${accepted} (200, ${entries.length} entries)` : `is refused (${status})`
  return ok(`${PROBE}: ${name}`, `${what} ${message}`)
}

/** Reports the response to a request with `take` but without `from`. */
function describeTakeAlone(response: LogResponse): Check {
  const ids = response.entries.map((entry) => readLogId(entry) ?? '')
  const isAscending = ids.every((id, index) => index === 0 || id > (ids[index - 1] ?? ''))
  const order = ids.length < 2 ? '' : isAscending ? ', oldest first' : ', newest first'
  const link = response.hasLink ? ', with a Link' : ', without a Link'
  return describeResponse('take', 'take without from', response, `is accepted${order}${link}`)
}

/** Checks that a search by log id finds a known logout. The sweep, the search of a first start, uses such searches. */
async function checkSearch(
  logouts: unknown[],
  { signal, ...source }: LogSourceOptions & { signal: AbortSignal },
): Promise<Check> {
  const name = `${PROBE}: sweep`
  // Uses the oldest of the logouts, because the search index may not contain the newest logouts yet.
  const wantedId = readLogId(logouts.at(-1)) ?? ''
  const at = storageTimeOf(wantedId)
  if (at === null) {
    return warning(
      name,
      'there is no logout to search for',
      'log out once, then run this command again',
    )
  }
  const from = Math.floor(at / 1000) * 1000
  const search = {
    types: ['slo'],
    span: { from, to: from + 1000 },
    prefix: prefixOf(wantedId),
    page: 0,
  }
  const foundIds = (await createLogSource(source).search(search, signal)).entries.map(readLogId)
  const isWithinSpan = foundIds.every(
    (id) => Math.floor((storageTimeOf(id) ?? 0) / 1000) * 1000 === from,
  )
  if (foundIds.includes(wantedId) && isWithinSpan)
    return ok(name, 'a search by log id finds the expected entry')
  return failure(
    name,
    `a search by log id finds ${isWithinSpan ? 'less' : 'more'} than expected`,
    'please report this: the first start finds earlier logouts with such searches',
  )
}
