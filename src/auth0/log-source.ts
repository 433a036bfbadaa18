import { LastLogoutError } from '../errors.js'
import { type LogSource, PAGE_SIZE, type Search, type SearchPage } from '../ports.js'
import { readLogId } from '../rules/entry.js'
import { readId } from '../rules/id.js'
import type { Instant } from '../rules/instant.js'
import { syntheticLogId } from '../rules/log-id.js'
import type { ManagementApi } from './management-api.js'
import { badStatus, malformedPage, RATE_LIMIT_HINT } from './management-errors.js'
import { createRateBudget, type LogAnswer, type RateBudget } from './rate/budget.js'
import { waitAfterRefusal } from './rate/limit.js'
import { RETRY_LIMITS, type RetryLimits, retry } from './retry.js'

/** What the tenant log is read with. */
export interface LogSourceOptions {
  api: ManagementApi
  /** Our share of the tenant's rate limit: above 0, at most 1. */
  rateShare: number
  /** Told of every request to the log. */
  observe?: (answer: LogAnswer) => void
  /** Default: {@link RETRY_LIMITS}. */
  retryLimits?: RetryLimits
}

/**
 * The tenant log over `GET /api/v2/logs`. The SDK's `logs.list()` cannot page by checkpoint.
 *
 * @see https://auth0.com/docs/deploy-monitor/logs/retrieve-log-events-using-mgmt-api
 */
export function createLogSource(options: LogSourceOptions): LogSource {
  const { api, rateShare, observe, retryLimits } = options
  const budget = createRateBudget({ share: rateShare, ...(observe && { observe }) })
  const ask = (parameters: Record<string, string>, signal: AbortSignal) => {
    const path = `logs?${new URLSearchParams(parameters)}`
    return retry(() => askOnce(api, budget, path, signal), signal, retryLimits)
  }

  return {
    async readPage(from, signal) {
      const { entries, askedAt, link } = await ask({ from, take: `${PAGE_SIZE}` }, signal)
      return { entries, askedAt, next: readNext(entries, link, from) }
    },
    search: (search, signal) => ask(searchParameters(search), signal),
    readNewest: (signal) => ask({ page: '0', per_page: '1', sort: 'date:-1' }, signal),
    readOldest: (signal) => ask({ page: '0', per_page: `${PAGE_SIZE}`, sort: 'date:1' }, signal),
  }
}

function searchParameters({ types, span, prefix, page }: Search): Record<string, string> {
  const from = syntheticLogId(span.from, prefix)
  const to = syntheticLogId(span.to, prefix)
  const q = `type:(${types.join(' OR ')}) AND log_id:{${from} TO ${to}}`
  return { q, page: `${page}`, per_page: `${PAGE_SIZE}`, sort: 'date:-1' }
}

/**
 * The last entry as delivered, never the newest by date; where that one has no id, what `Link` says.
 * It has to lie beyond `from`, or we would read the same pages for ever.
 */
function readNext(entries: unknown[], link: string | null, from: string): string {
  if (entries.length === 0) return from
  const next = readLogId(entries.at(-1)) ?? readNextLink(link)
  if (next === null) throw malformedPage('its last entry has no log_id')
  // Ids of one length tell their order.
  const isBeyond = next.length === from.length ? next > from : next !== from
  if (!isBeyond) throw malformedPage('it does not end beyond where it began')
  return next
}

/** The `from` of `Link: <…>; rel="next"` (RFC 8288). */
function readNextLink(link: string | null): string | null {
  const [, url = ''] = /<([^>]*)>\s*;\s*rel="?next"?/.exec(link ?? '') ?? []
  return URL.canParse(url) ? readId(new URL(url).searchParams.get('from')) : null
}

interface LogsAnswer extends SearchPage {
  link: string | null
}

async function askOnce(
  api: ManagementApi,
  budget: RateBudget,
  path: string,
  signal: AbortSignal,
): Promise<LogsAnswer> {
  const { status, headers, body, askedAt } = await budget.send(async () => {
    const startedAt = performance.now()
    const answer = await api.get(path, signal)
    return { ...answer, askedAt: readAskedAt(answer.headers, performance.now() - startedAt) }
  }, signal)
  if (status !== 200) throw refusal(status, headers, path)
  return { entries: readEntries(body), askedAt, link: headers.get('link') }
}

/** The start of the request by Auth0's clock; ours only where no `Date` comes with the answer. */
function readAskedAt(headers: Headers, elapsedMs: number): Instant {
  const date = Date.parse(headers.get('date') ?? '')
  return Math.floor((Number.isNaN(date) ? Date.now() : date) - elapsedMs)
}

function refusal(status: number, headers: Headers, path: string): LastLogoutError {
  if (status === 429) {
    const message = `Auth0 limits the rate of log requests: ${RATE_LIMIT_HINT}`
    const retryAfterMs = waitAfterRefusal(headers)
    return new LastLogoutError('AUTH0_RATE_LIMIT', message, { status, retryAfterMs })
  }
  if (path.startsWith('logs?q=') && status >= 400 && status < 500) {
    const message = `Auth0 refuses to search its log (${status}): late entries, and logouts from before the first start, cannot be found until it does. If it goes on, report this`
    return new LastLogoutError('AUTH0_REFUSED', message, { status })
  }
  const isCheckpoint = path.startsWith('logs?from=')
  if (isCheckpoint && (status === 400 || status === 404)) {
    const message = `Auth0 refuses the checkpoint (${status})`
    return new LastLogoutError('AUTH0_CHECKPOINT_REFUSED', message, { status })
  }
  return badStatus('a log request', status)
}

/** What JSON.parse says quotes the text, and with it the entries: it is not kept. */
function readEntries(text: string): unknown[] {
  let body: unknown
  try {
    body = JSON.parse(text)
  } catch {
    throw malformedPage('it is not JSON')
  }
  if (!Array.isArray(body)) throw malformedPage('it is not an array')
  return body
}
