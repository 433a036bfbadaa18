import { readHttpDate } from '../auth0/http-date.js'
import type { ManagementApi } from '../auth0/management-api.js'
import { createRateBudget } from '../auth0/rate/budget.js'
import { type RateLimit, readRateLimit } from '../auth0/rate/limit.js'
import { aborted, LastLogoutError } from '../errors.js'
import type { ClockReading } from './clock.js'

/** An answer of the Logs API, whatever its status. */
export interface LogAnswer {
  status: number
  /** Empty where it is no array. */
  entries: unknown[]
  hasLink: boolean
  limit: RateLimit | null
  clock: ClockReading
}

/** Asks the Logs API in ways in which the worker does not. */
export interface TenantLog {
  /** Throws as `ManagementApi.get` does; other refusals are answers. */
  ask(parameters: Record<string, string>): Promise<LogAnswer>
  /** As `ask`; throws `AUTH0_UNAVAILABLE` unless it is answered with 200. */
  read(parameters: Record<string, string>): Promise<LogAnswer>
}

/** Within our share of the rate limit, as the worker. */
export function createTenantLog(
  api: ManagementApi,
  rateShare: number,
  signal: AbortSignal,
): TenantLog {
  const budget = createRateBudget({ share: rateShare })

  const send: TenantLog['ask'] = async (parameters) => {
    const path = `logs?${new URLSearchParams(parameters)}`
    const request = async () => {
      const sentAt = Date.now()
      const answer = await api.get(path, signal)
      return { ...answer, sentAt, receivedAt: Date.now() }
    }
    const { status, headers, body, sentAt, receivedAt } = await budget
      .send(request, signal)
      .catch((error) => {
        throw signal.aborted ? aborted(error) : error
      })
    return {
      status,
      entries: readArray(body),
      hasLink: headers.has('link'),
      limit: readRateLimit(headers),
      clock: { sentAt, receivedAt, serverAt: readHttpDate(headers, 'date') },
    }
  }

  const ask: TenantLog['ask'] = async (parameters) => {
    const answer = await send(parameters)
    // Once more, after the wait that it asks for.
    return answer.status === 429 ? send(parameters) : answer
  }

  return {
    ask,
    async read(parameters) {
      const answer = await ask(parameters)
      if (answer.status === 200) return answer
      const message = `Auth0 answers a search of the log with ${answer.status}`
      throw new LastLogoutError('AUTH0_UNAVAILABLE', message, { status: answer.status })
    },
  }
}

function readArray(text: string): unknown[] {
  try {
    const body: unknown = JSON.parse(text)
    return Array.isArray(body) ? body : []
  } catch {
    // A refusal need not be JSON.
    return []
  }
}
