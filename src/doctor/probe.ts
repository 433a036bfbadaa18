import { createLogSource, type LogSourceOptions } from '../auth0/log-source.js'
import { readLogId } from '../rules/entry.js'
import { DAY_MS, type Instant } from '../rules/instant.js'
import { prefixOf, storageTimeOf, syntheticLogId } from '../rules/log-id.js'
import { type Check, failure, ok, skipped, warning } from './check.js'
import type { LogAnswer, TenantLog } from './tenant-log.js'

/** What the names of the checks below begin with. */
export const PROBE = 'probe'

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
export async function* examineBehaviour(
  log: TenantLog,
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
  const ask = (from: string) => log.ask({ from, take: `${TAKE}` })

  yield examinePage(await ask(first), first, ids.length - 1)
  yield examineMadeUpId(await ask(syntheticLogId(at, prefix)), first)
  const expired = syntheticLogId((oldestAt ?? now) - DAY_MS, prefix)
  const before = await ask(expired)
  yield describeAnswer(
    'expired',
    'an id older than what is kept',
    before,
    'is passed over silently',
  )
  yield describeAnswer('bad id', 'an id that is none', await ask('no-log-id'), 'is taken')
  yield describeTakeAlone(await log.ask({ take: `${TAKE}` }))
  yield await examineSearch(logouts, source)
}

/** Whether pages are as the worker needs them: strictly newer than `from`, ascending. */
export function examinePage(answer: LogAnswer, from: string, known: number): Check {
  const name = `${PROBE}: page`
  const ids = answer.entries.map((entry) => readLogId(entry) ?? '')
  if (answer.status !== 200) {
    return failure(name, `from a real id it is answered with ${answer.status}`)
  }
  const isOrdered = ids.every((id, index) => id > (ids[index - 1] ?? from))
  if (!isOrdered) {
    return failure(
      name,
      'its entries are not strictly newer than its checkpoint, in ascending order: logouts may be skipped',
      'please report this: the tenant does not behave as Auth0 documents',
    )
  }
  const link = answer.hasLink ? 'with a Link' : 'without a Link'
  const short = ids.length < Math.min(TAKE, known) ? ', and short before the end of the log' : ''
  return ok(name, `${ids.length} entries, ascending, none twice, ${link}${short}`)
}

/** Whether a made-up id is taken as a position: a first start begins at one. */
export function examineMadeUpId(answer: LogAnswer, next: string): Check {
  const name = `${PROBE}: position`
  const first = readLogId(answer.entries[0])
  if (answer.status === 200 && first !== null && first <= next) {
    return ok(name, 'a made-up id is taken as a position in the log')
  }
  return failure(
    name,
    answer.status === 200
      ? 'a made-up id is not taken as a position: what follows it is missing'
      : `a made-up id is refused (${answer.status})`,
    'please report this: a first start begins at such an id',
  )
}

/** `taken` is what it says where it is answered with 200. */
function describeAnswer(name: string, what: string, answer: LogAnswer, taken: string): Check {
  const { status, entries } = answer
  const message =
    status === 200 ? `${taken} (200, ${entries.length} entries)` : `is refused (${status})`
  return ok(`${PROBE}: ${name}`, `${what} ${message}`)
}

function describeTakeAlone(answer: LogAnswer): Check {
  const ids = answer.entries.map((entry) => readLogId(entry) ?? '')
  const isAscending = ids.every((id, index) => index === 0 || id > (ids[index - 1] ?? ''))
  const order = ids.length < 2 ? '' : isAscending ? ', oldest first' : ', newest first'
  const link = answer.hasLink ? ', with a Link' : ', without a Link'
  return describeAnswer('take', 'take without from', answer, `is answered${order}${link}`)
}

/** Whether the sweep finds by log id what is there. */
async function examineSearch(
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
