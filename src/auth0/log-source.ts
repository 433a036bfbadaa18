import { setTimeout as sleep } from 'node:timers/promises'
import { aborted, hasCode, LastLogoutError } from '../errors.js'
import type { LogSource, Search, SearchPage } from '../ports.js'
import { readLogId } from '../rules/entry.js'
import type { Instant } from '../rules/instant.js'
import { syntheticLogId } from '../rules/log-id.js'
import type { ManagementApi } from './management-api.js'
import { createRateBudget, type RateBudget, waitAfterRefusal } from './rate-budget.js'

/** The most entries that the Logs API gives in one answer. */
const PAGE_SIZE = 100

/** The largest answer that is read: a hundred entries of the size that Auth0 allows stay far below. */
const MAX_BODY_BYTES = 64 * 1024 * 1024

/** How often a question is asked again before the caller is told, and the first wait between, in milliseconds. */
const RETRIES = 4
const FIRST_RETRY_MS = 250

/** What the tenant log is read with. */
export interface LogSourceOptions {
  api: ManagementApi
  /** Our share of the tenant's rate limit: above 0, at most 1. */
  rateShare: number
}

/**
 * The tenant log over `GET /api/v2/logs`. The SDK's `logs.list()` cannot page by checkpoint.
 *
 * @see https://auth0.com/docs/deploy-monitor/logs/retrieve-log-events-using-mgmt-api
 */
export function createLogSource({ api, rateShare }: LogSourceOptions): LogSource {
  const budget = createRateBudget(rateShare)
  const ask = (parameters: Record<string, string>, signal: AbortSignal) => {
    const path = `logs?${new URLSearchParams(parameters)}`
    return retry(() => askOnce(api, budget, path, signal), signal)
  }

  return {
    async readPage(from, signal) {
      const answer = await ask({ from, take: `${PAGE_SIZE}` }, signal)
      return { ...answer, next: readNext(answer.entries, from) }
    },
    search: (search, signal) => ask(searchParameters(search), signal),
    readNewest: (signal) => ask({ page: '0', per_page: '1', sort: 'date:-1' }, signal),
  }
}

function searchParameters({ types, span, prefix, page }: Search): Record<string, string> {
  const from = syntheticLogId(span.from, prefix)
  const to = syntheticLogId(span.to, prefix)
  const q = `type:(${types.join(' OR ')}) AND log_id:{${from} TO ${to}}`
  return { q, page: `${page}`, per_page: `${PAGE_SIZE}`, sort: 'date:-1' }
}

/**
 * The last entry as delivered, never the newest by date. It has to lie beyond `from`, or we would
 * read the same page for ever.
 */
function readNext(entries: unknown[], from: string): string {
  if (entries.length === 0) return from
  const next = readLogId(entries.at(-1))
  if (next === null || next === from) {
    throw malformed(next === null ? 'its last entry has no log_id' : 'it ends where it began')
  }
  return next
}

async function askOnce(
  api: ManagementApi,
  budget: RateBudget,
  path: string,
  signal: AbortSignal,
): Promise<SearchPage> {
  await budget.wait(signal)
  const startedAt = performance.now()
  const response = await api.get(path, signal)
  const askedAt = readAskedAt(response.headers, performance.now() - startedAt)
  budget.observe(response.status, response.headers)
  if (!response.ok) {
    await response.body?.cancel()
    throw refusal(response)
  }
  return { entries: await readEntries(response), askedAt }
}

/** The start of the request by Auth0's clock; ours only where no `Date` comes with the answer. */
function readAskedAt(headers: Headers, elapsedMs: number): Instant {
  const date = Date.parse(headers.get('date') ?? '')
  return Math.floor((Number.isNaN(date) ? Date.now() : date) - elapsedMs)
}

function refusal({ status, headers }: Response): LastLogoutError {
  if (status === 429) {
    return new LastLogoutError('AUTH0_RATE_LIMIT', 'Auth0 limits the rate of log requests', {
      status,
      retryAfterMs: waitAfterRefusal(headers),
    })
  }
  if (status === 400 || status === 404) {
    return new LastLogoutError(
      'AUTH0_CHECKPOINT_REFUSED',
      `Auth0 refuses the question (${status})`,
      {
        status,
      },
    )
  }
  return new LastLogoutError('AUTH0_UNAVAILABLE', `Auth0 answered with ${status}`, { status })
}

async function readEntries(response: Response): Promise<unknown[]> {
  const text = await readText(response)
  let body: unknown
  try {
    body = JSON.parse(text)
  } catch (error) {
    throw malformed('it is not JSON', error)
  }
  if (!Array.isArray(body)) throw malformed('it is not an array')
  return body
}

async function readText(response: Response): Promise<string> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  try {
    for await (const chunk of response.body ?? []) {
      bytes += chunk.byteLength
      if (bytes > MAX_BODY_BYTES) throw malformed(`it is larger than ${MAX_BODY_BYTES} bytes`)
      chunks.push(chunk)
    }
  } catch (error) {
    if (error instanceof LastLogoutError) throw error
    throw new LastLogoutError('AUTH0_UNAVAILABLE', "Auth0's answer broke off", { cause: error })
  }
  return Buffer.concat(chunks).toString('utf8')
}

/** Faults that pass are asked again, later each time; the last one is the caller's. */
async function retry<T>(run: () => Promise<T>, signal: AbortSignal): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await run()
    } catch (error) {
      if (signal.aborted) throw aborted(error)
      if (attempt >= RETRIES || !isPassing(error)) throw error
      // Where the answer said how long to wait, the budget does.
      if (error.retryAfterMs === undefined) await backOff(attempt, signal)
    }
  }
}

async function backOff(attempt: number, signal: AbortSignal): Promise<void> {
  const waitMs = FIRST_RETRY_MS * 2 ** attempt * (1 + Math.random() * 0.5)
  await sleep(waitMs, undefined, { signal }).catch((error) => {
    throw aborted(error)
  })
}

function isPassing(error: unknown): error is LastLogoutError {
  return (
    hasCode(error, 'AUTH0_RATE_LIMIT') ||
    hasCode(error, 'AUTH0_UNAVAILABLE') ||
    hasCode(error, 'AUTH0_MALFORMED_PAGE')
  )
}

function malformed(why: string, cause?: unknown): LastLogoutError {
  return new LastLogoutError(
    'AUTH0_MALFORMED_PAGE',
    `Auth0's answer is not a page of logs: ${why}`,
    {
      cause,
    },
  )
}
