import { LastLogoutError } from '../errors.js'
import type { LogRequest } from '../measurements.js'
import { type LogSource, PAGE_SIZE, type Search, type SearchPage } from '../ports.js'
import { readLogId } from '../rules/entry.js'
import { readId } from '../rules/id.js'
import type { Instant } from '../rules/instant.js'
import { syntheticLogId } from '../rules/log-id.js'
import { readUrl } from '../rules/url.js'
import { readHttpDate } from './http-date.js'
import type { ManagementApi } from './management-api.js'
import { badStatusError, malformedPageError, rateLimitError } from './management-errors.js'
import { createRateBudget, type RateBudget } from './rate/budget.js'
import { RETRY_LIMITS, type RetryLimits, retry } from './retry.js'

/** Options of {@link createLogSource}. */
export interface LogSourceOptions {
  api: ManagementApi
  /** The share of the tenant's rate limit that last-logout may use: above 0, at most 1. */
  rateShare: number
  /** Called after every request to the log. */
  observe?: (request: LogRequest) => void
  /** Default: {@link RETRY_LIMITS}. */
  retryLimits?: RetryLimits
}

/**
 * Reads the tenant log with `GET /api/v2/logs`. Does not use `logs.list()` of Auth0's SDK, which cannot page from a
 * checkpoint.
 *
 * @see https://auth0.com/docs/deploy-monitor/logs/retrieve-log-events-using-mgmt-api
 */
export function createLogSource(options: LogSourceOptions): LogSource {
  const { api, rateShare, observe, retryLimits } = options
  const budget = createRateBudget({ share: rateShare, ...(observe && { observe }) })
  const request = (parameters: Record<string, string>, signal: AbortSignal) => {
    const path = `logs?${new URLSearchParams(parameters)}`
    return retry(() => requestOnce(api, budget, path, signal), signal, retryLimits)
  }

  return {
    async readPage(from, signal) {
      const { entries, requestedAt, link } = await request({ from, take: `${PAGE_SIZE}` }, signal)
      return { entries, requestedAt, next: readNext(entries, link, from) }
    },
    search: (search, signal) => request(searchParameters(search), signal),
    readNewest: (signal) => request({ page: '0', per_page: '1', sort: 'date:-1' }, signal),
    readOldest: (signal) =>
      request({ page: '0', per_page: `${PAGE_SIZE}`, sort: 'date:1' }, signal),
    awaitSpareBudget: budget.awaitSpare,
  }
}

function searchParameters({ types, span, prefix, page }: Search): Record<string, string> {
  const from = syntheticLogId(span.from, prefix)
  const to = syntheticLogId(span.to, prefix)
  const q = `type:(${types.join(' OR ')}) AND log_id:{${from} TO ${to}}`
  return { q, page: `${page}`, per_page: `${PAGE_SIZE}`, sort: 'date:-1' }
}

/**
 * Returns the log id to continue from: the id of the last entry in the response, even if another entry is newer. If the
 * last entry has no id, reads the log id from the header `Link`.
 *
 * @throws `AUTH0_MALFORMED_PAGE` if the log id is not after `from`. Otherwise the same pages would be read again and
 *   again.
 */
function readNext(entries: unknown[], link: string | null, from: string): string {
  if (entries.length === 0) return from
  const next = readLogId(entries.at(-1)) ?? readNextLink(link)
  if (next === null) throw malformedPageError('its last entry has no log_id')
  // Log ids of different lengths cannot be compared.
  const isAfter = next.length === from.length ? next > from : next !== from
  if (!isAfter) throw malformedPageError('it ends at or before the checkpoint that was requested')
  return next
}

/** Reads the parameter `from` of the URL in `Link: <…>; rel="next"` (RFC 8288). */
function readNextLink(link: string | null): string | null {
  const [, url = ''] = /<([^>]*)>\s*;\s*rel="?next"?/.exec(link ?? '') ?? []
  return readId(readUrl(url)?.searchParams.get('from'))
}

interface LogsResponse extends SearchPage {
  link: string | null
}

async function requestOnce(
  api: ManagementApi,
  budget: RateBudget,
  path: string,
  signal: AbortSignal,
): Promise<LogsResponse> {
  const { status, headers, body, requestedAt } = await budget.send(async () => {
    const startedAt = performance.now()
    const response = await api.get(path, signal)
    return {
      ...response,
      requestedAt: readRequestedAt(response.headers, performance.now() - startedAt),
    }
  }, signal)
  if (status !== 200) throw statusError(status, headers, path)
  return { entries: readEntries(body), requestedAt, link: headers.get('link') }
}

/**
 * Returns when the request was sent, by Auth0's clock. If the response has no `Date`, uses the clock of this machine.
 */
function readRequestedAt(headers: Headers, elapsedMs: number): Instant {
  return Math.floor((readHttpDate(headers, 'date') ?? Date.now()) - elapsedMs)
}

function statusError(status: number, headers: Headers, path: string): LastLogoutError {
  if (status === 429) return rateLimitError('A log request', headers)
  if (path.startsWith('logs?q=') && status >= 400 && status < 500) {
    const message = `Auth0 refused a search of the tenant log (${status}). Until Auth0 accepts searches, late entries and logouts from before the first start are not found. If this persists, report it with the version of last-logout.`
    return new LastLogoutError('AUTH0_REFUSED', message, { status })
  }
  const isCheckpoint = path.startsWith('logs?from=')
  if (isCheckpoint && (status === 400 || status === 404)) {
    const message = `Auth0 refused the checkpoint (${status}). Reading continues from another checkpoint.`
    return new LastLogoutError('AUTH0_CHECKPOINT_REFUSED', message, { status })
  }
  return badStatusError('A log request', status)
}

/** Parses the entries of a page. Replaces an error of `JSON.parse`, because its message quotes the entries. */
function readEntries(text: string): unknown[] {
  let body: unknown
  try {
    body = JSON.parse(text)
  } catch {
    throw malformedPageError('it is not JSON')
  }
  if (!Array.isArray(body)) throw malformedPageError('it is not an array')
  return body
}
