/** The fields of an entry that can be searched. */
export interface Searchable {
  readonly logId: string
  readonly type: unknown
  readonly userId: unknown
  /**
   * The `date` in milliseconds since the epoch. `NaN` if the `date` is missing or invalid, so that no range matches.
   */
  readonly dateMs: number
}

/** A parsed search query, the parameter `q` of the Logs API. */
export interface Query {
  /** The lower bound of the log ids, inclusive. */
  readonly from: string
  /** The upper bound of the log ids, exclusive. */
  readonly before: string
  /** Whether an entry within these bounds matches the query. */
  matches(entry: Searchable): boolean
}

/** The error of a query with syntax that is not simulated. The API responds with 400. */
export class QueryError extends Error {
  override readonly name = 'QueryError'
}

interface Range {
  readonly low: string
  readonly high: string
  readonly lowIncluded: boolean
  readonly highIncluded: boolean
}

type Test = (entry: Searchable) => boolean

// Forms of a clause: field:[low TO high}, field:(a OR b), field:word, field:"words"
const CLAUSE =
  /(\w+):(?:([[{])(\S+) TO ([^\s\]}]+)([\]}])|\(([^()]*)\)|("(?:[^"\\]|\\.)*"|[\w.@-]+))(?=\s|$)/y
const AND = /\s+AND\s+(?=\S)/y
const WORD = /^(?:"((?:[^"\\]|\\.)*)"|(?!(?:AND|OR|NOT|TO)$)([\w.@-]+))$/
const INSTANT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,3})?Z?$/
const NO_LIMIT = '*'

/** A string that is greater than every log id, because log ids contain only digits. */
export const ABOVE_ALL_IDS = ':'

/** Returns the smallest string that is greater than `text`. So `> text` is equivalent to `>= justAfter(text)`. */
export function justAfter(text: string): string {
  return `${text}\0`
}

/** Parses a query. Throws a {@link QueryError} for syntax that is not simulated. */
export function parseQuery(q: string): Query {
  const tests: Test[] = []
  let from = ''
  let before = ABOVE_ALL_IDS
  for (const clause of splitClauses(q.trim())) {
    const [, field = '', open, low = '', high = '', close, group, word] = clause
    const range = { low, high, lowIncluded: open === '[', highIncluded: close === ']' }
    if (open === undefined) {
      tests.push(wordTest(field, group?.split(/\s+OR\s+/) ?? [word ?? '']))
    } else if (field === 'date') {
      tests.push(dateTest(range))
    } else if (field === 'log_id') {
      const bounds = logIdBounds(range)
      if (bounds.from > from) from = bounds.from
      if (bounds.before < before) before = bounds.before
    } else {
      throw new QueryError(`no range over '${field}'`)
    }
  }
  return { from, before, matches: (entry) => tests.every((test) => test(entry)) }
}

/** Splits a query into its clauses. Only `AND` can join clauses. */
function splitClauses(q: string): RegExpExecArray[] {
  const clauses: RegExpExecArray[] = []
  let at = 0
  while (true) {
    const clause = matchAt(CLAUSE, q, at)
    if (!clause) throw new QueryError(`cannot read '${q.slice(at)}'`)
    clauses.push(clause)
    at += clause[0].length
    if (at === q.length) return clauses
    const and = matchAt(AND, q, at)
    if (!and) throw new QueryError(`expected AND at '${q.slice(at)}'`)
    at += and[0].length
  }
}

function matchAt(pattern: RegExp, text: string, at: number): RegExpExecArray | null {
  pattern.lastIndex = at
  return pattern.exec(text)
}

function wordTest(field: string, words: readonly string[]): Test {
  const wanted = new Set<unknown>(words.map((word) => parseWord(word.trim())))
  switch (field) {
    case 'type':
      return (entry) => wanted.has(entry.type)
    case 'user_id':
      return (entry) => wanted.has(entry.userId)
    case 'log_id':
      return (entry) => wanted.has(entry.logId)
    default:
      throw new QueryError(`no search for words in '${field}'`)
  }
}

function parseWord(text: string): string {
  const match = WORD.exec(text)
  if (!match) throw new QueryError(`cannot read '${text}'`)
  return match[1]?.replace(/\\(.)/g, '$1') ?? match[2] ?? ''
}

function dateTest(range: Range): Test {
  const low = range.low === NO_LIMIT ? -Infinity : parseInstant(range.low)
  const high = range.high === NO_LIMIT ? Infinity : parseInstant(range.high)
  return ({ dateMs }) =>
    (range.lowIncluded ? dateMs >= low : dateMs > low) &&
    (range.highIncluded ? dateMs <= high : dateMs < high)
}

function parseInstant(text: string): number {
  const ms = INSTANT.test(text) ? Date.parse(text.endsWith('Z') ? text : `${text}Z`) : Number.NaN
  if (Number.isNaN(ms)) throw new QueryError(`no instant: '${text}'`)
  return ms
}

function logIdBounds({ low, high, lowIncluded, highIncluded }: Range) {
  for (const bound of [low, high]) {
    if (bound !== NO_LIMIT && !/^\d+$/.test(bound)) throw new QueryError(`no log id: '${bound}'`)
  }
  const from = low === NO_LIMIT ? '' : low
  const before = high === NO_LIMIT ? ABOVE_ALL_IDS : high
  return {
    from: lowIncluded ? from : justAfter(from),
    before: highIncluded ? justAfter(before) : before,
  }
}
