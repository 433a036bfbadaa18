import { createLogSource, type LogSourceOptions } from '../auth0/log-source.js'
import { readLogId } from '../rules/entry.js'
import type { Instant } from '../rules/instant.js'
import { prefixOf, storageTimeOf, syntheticLogId } from '../rules/log-id.js'
import { type Check, failure, ok, skipped, warning } from './check.js'
import type { LogResponse, LogsApi } from './logs-api.js'

/** What the names of the checks below begin with. */
export const PROBE = 'probe'

const DAY_MS = 86_400_000
const TAKE = 10

/** What is known of the log by now. */
export interface ProbeFacts {
  /** The newest entries. */
  newest: unknown[]
  /** The newest `slo` entries. */
  logouts: unknown[]
  oldestAt: Instant | null
  now: Instant
}

/**
 * Asks what Auth0 does not document: how the Logs API takes positions, and whether it searches by log
 * id. Whatever it answers is handled, where the line is not a failure.
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
  const request = (from: string) => log.request({ from, take: `${TAKE}` })

  yield checkPage(await request(first), first, ids.length - 1)
  yield checkSyntheticId(await request(syntheticLogId(at, prefix)), first)
  const expired = syntheticLogId((oldestAt ?? now) - DAY_MS, prefix)
  const before = await request(expired)
  yield describeResponse(
    'expired',
    'an id older than what is kept',
    before,
    'is passed over silently',
  )
  yield describeResponse('bad id', 'an id that is none', await request('no-log-id'), 'is taken')
  yield describeTakeAlone(await log.request({ take: `${TAKE}` }))
  yield await checkSearch(logouts, source)
}

/** Whether pages are as the worker needs them: strictly newer than `from`, ascending. */
export function checkPage(response: LogResponse, from: string, known: number): Check {
  const name = `${PROBE}: page`
  const ids = response.entries.map((entry) => readLogId(entry) ?? '')
  if (response.status !== 200) {
    return failure(name, `from a real id it is answered with ${response.status}`)
  }
  const isOrdered = ids.every((id, index) => id > (ids[index - 1] ?? from))
  if (!isOrdered) {
    return failure(
      name,
      'its entries are not strictly newer than its checkpoint, in ascending order: logouts may be skipped',
      'please report this: the tenant does not behave as Auth0 documents',
    )
  }
  const link = response.hasLink ? 'with a Link' : 'without a Link'
  const short = ids.length < Math.min(TAKE, known) ? ', and short before the end of the log' : ''
  return ok(name, `${ids.length} entries, ascending, none twice, ${link}${short}`)
}

/** Whether a made-up id is taken as a position: a first start begins at one. */
export function checkSyntheticId(response: LogResponse, next: string): Check {
  const name = `${PROBE}: position`
  const first = readLogId(response.entries[0])
  if (response.status === 200 && first !== null && first <= next) {
    return ok(name, 'a made-up id is taken as a position in the log')
  }
  return failure(
    name,
    response.status === 200
      ? 'a made-up id is not taken as a position: what follows it is missing'
      : `a made-up id is refused (${response.status})`,
    'please report this: a first start begins at such an id',
  )
}

/** `taken` is what it says where it is answered with 200. */
function describeResponse(name: string, what: string, response: LogResponse, taken: string): Check {
  const { status, entries } = response
  const message =
    status === 200 ? `${taken} (200, ${entries.length} entries)` : `is refused (${status})`
  return ok(`${PROBE}: ${name}`, `${what} ${message}`)
}

function describeTakeAlone(response: LogResponse): Check {
  const ids = response.entries.map((entry) => readLogId(entry) ?? '')
  const isAscending = ids.every((id, index) => index === 0 || id > (ids[index - 1] ?? ''))
  const order = ids.length < 2 ? '' : isAscending ? ', oldest first' : ', newest first'
  const link = response.hasLink ? ', with a Link' : ', without a Link'
  return describeResponse('take', 'take without from', response, `is answered${order}${link}`)
}

/** Whether the sweep finds by log id what is there. */
async function checkSearch(
  logouts: unknown[],
  { signal, ...source }: LogSourceOptions & { signal: AbortSignal },
): Promise<Check> {
  const name = `${PROBE}: sweep`
  // Not the newest: what is searched may be behind what is listed.
  const wanted = readLogId(logouts.at(-1)) ?? ''
  const at = storageTimeOf(wanted)
  if (at === null) {
    return warning(name, 'there is no logout to look for', 'log out once, and run this again')
  }
  const from = Math.floor(at / 1000) * 1000
  const search = {
    types: ['slo'],
    span: { from, to: from + 1000 },
    prefix: prefixOf(wanted),
    page: 0,
  }
  const found = (await createLogSource(source).search(search, signal)).entries.map(readLogId)
  const isInside = found.every((id) => Math.floor((storageTimeOf(id) ?? 0) / 1000) * 1000 === from)
  if (found.includes(wanted) && isInside) return ok(name, 'a search by log id finds what it should')
  return failure(
    name,
    `a search by log id finds ${isInside ? 'less' : 'more'} than it should`,
    'please report this: a first start learns of earlier logouts by such a search',
  )
}
