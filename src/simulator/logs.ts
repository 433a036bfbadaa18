import { ApiError, invalidQuery } from './errors.js'
import { ABOVE_ALL_IDS, parseQuery, type Query, QueryError } from './query.js'
import type { Sort, StoredEntry, Tenant } from './tenant.js'

/**
 * The response to a checkpoint that is older than every retained entry. `continue`: the page that starts with the
 * oldest retained entry. A number: this error status. Auth0 does not document this response.
 */
export type ExpiredCheckpoint = 'continue' | 400 | 404

/** The response of `GET /api/v2/logs`. */
export interface LogsResponse {
  readonly body: Buffer
  /** The header `Link`, only in the response to a request with a checkpoint. */
  readonly link?: string
}

const MAX_RESULTS = 1000
const NUMBERS = {
  page: { fallback: 0, min: 0, max: Infinity },
  per_page: { fallback: 50, min: 1, max: 100 },
  take: { fallback: 50, min: 1, max: 100 },
}
const [OPEN, COMMA, CLOSE] = [Buffer.from('['), Buffer.from(','), Buffer.from(']')]
const SEARCH_PARAMETERS = new Set(['q', 'page', 'per_page', 'sort', 'include_totals'])
const EVERYTHING: Query = { from: '', before: ABOVE_ALL_IDS, matches: () => true }
const NEWEST_FIRST: Sort = { by: 'log_id', descending: true }

/**
 * Handles `GET /api/v2/logs`. Throws an `ApiError` if Auth0 would refuse the request.
 *
 * @see https://auth0.com/docs/deploy-monitor/logs/retrieve-log-events-using-mgmt-api
 */
export function readLogs(
  tenant: Tenant,
  parameters: URLSearchParams,
  expired: ExpiredCheckpoint,
): LogsResponse {
  const from = parameters.get('from')
  return from === null
    ? searchLogs(tenant, parameters)
    : readCheckpoint(tenant, { from, take: readNumber(parameters, 'take'), expired })
}

function readCheckpoint(
  tenant: Tenant,
  { from, take, expired }: { from: string; take: number; expired: ExpiredCheckpoint },
): LogsResponse {
  if (!/^\d+$/.test(from)) throw invalidQuery(`'${from}' on property from`)
  if (expired !== 'continue' && from < tenant.oldestRetained()) {
    throw new ApiError(expired, 'The checkpoint is no longer available')
  }
  const page = tenant.readAfter(from, take)
  const next = `https://${tenant.domain}/api/v2/logs?from=${page.at(-1)?.logId ?? from}&take=${take}`
  return { body: toJson(page), link: `<${next}>; rel="next"` }
}

function searchLogs(tenant: Tenant, parameters: URLSearchParams): LogsResponse {
  for (const name of parameters.keys()) {
    if (!SEARCH_PARAMETERS.has(name)) throw invalidQuery(`'${name}' is not simulated in a search`)
  }
  const page = readNumber(parameters, 'page')
  const perPage = readNumber(parameters, 'per_page')
  const start = page * perPage
  if (start + perPage > MAX_RESULTS) throw beyondMaximumError(page)
  const entries = tenant.search({
    query: readQuery(parameters),
    sort: readSort(parameters),
    skip: start,
    take: perPage,
  })
  const logs = toJson(entries)
  if (parameters.get('include_totals') !== 'true') return { body: logs }
  const totals = { start, limit: perPage, length: entries.length, total: entries.length }
  return { body: Buffer.from(`${JSON.stringify(totals).slice(0, -1)},"logs":${logs}}`) }
}

function beyondMaximumError(page: number): ApiError {
  const message = `Requesting page ${page + 1} exceeds the allowed maximum of ${MAX_RESULTS} records`
  return new ApiError(400, message, { errorCode: 'invalid_paging' })
}

function readQuery(parameters: URLSearchParams): Query {
  const q = parameters.get('q')
  try {
    return q === null ? EVERYTHING : parseQuery(q)
  } catch (error) {
    if (error instanceof QueryError) throw invalidQuery(`${error.message} on property q`)
    throw error
  }
}

function readSort(parameters: URLSearchParams): Sort {
  const text = parameters.get('sort')
  if (text === null) return NEWEST_FIRST
  const [, by, order] = /^(date|log_id):(-?1)$/.exec(text) ?? []
  if (by !== 'date' && by !== 'log_id') throw invalidQuery(`'${text}' on property sort`)
  return { by, descending: order === '-1' }
}

function readNumber(parameters: URLSearchParams, name: keyof typeof NUMBERS): number {
  const { fallback, min, max } = NUMBERS[name]
  const text = parameters.get(name)
  if (text === null) return fallback
  const value = Number(text)
  if (!/^\d+$/.test(text) || value < min) throw invalidQuery(`'${text}' on property ${name}`)
  if (value > max) {
    throw invalidQuery(`'Value ${value} is greater than maximum ${max}' on property ${name}`)
  }
  return value
}

function toJson(entries: readonly StoredEntry[]): Buffer {
  const parts = entries.flatMap(({ json }, i) => (i === 0 ? [json] : [COMMA, json]))
  return Buffer.concat([OPEN, ...parts, CLOSE])
}
