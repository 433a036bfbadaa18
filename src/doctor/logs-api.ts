import { readHttpDate } from '../auth0/http-date.js'
import type { ManagementApi } from '../auth0/management-api.js'
import { createRateBudget } from '../auth0/rate/budget.js'
import { type RateLimit, readRateLimit } from '../auth0/rate/limit.js'
import { abortedError, LastLogoutError } from '../errors.js'
import type { ClockReading } from './clock.js'

/** A response of the Logs API, with any status. */
export interface LogResponse {
  status: number
  /** The entries in the body; empty if the body is not an array. */
  entries: unknown[]
  hasLink: boolean
  limit: RateLimit | null
  clock: ClockReading
}

/** Access to the Logs API with any parameters, including parameters that the worker does not send. */
export interface LogsApi {
  /**
   * Sends one request. Retries it once after status 429.
   *
   * @throws The errors of `ManagementApi.get`.
   */
  request(parameters: Record<string, string>): Promise<LogResponse>
  /**
   * Sends one request that must succeed.
   *
   * @throws The errors of `request`, and `AUTH0_UNAVAILABLE` for any status other than 200.
   */
  read(parameters: Record<string, string>): Promise<LogResponse>
}

/** Creates access to the Logs API within `rateShare` of the rate limit, as in the worker. */
export function createLogsApi(api: ManagementApi, rateShare: number, signal: AbortSignal): LogsApi {
  const budget = createRateBudget({ share: rateShare })

  async function send(parameters: Record<string, string>): Promise<LogResponse> {
    const path = `logs?${new URLSearchParams(parameters)}`
    const get = async () => {
      const sentAt = Date.now()
      const response = await api.get(path, signal)
      return { ...response, sentAt, receivedAt: Date.now() }
    }
    const { status, headers, body, sentAt, receivedAt } = await budget
      .send(get, signal)
      .catch((error) => {
        throw signal.aborted ? abortedError(error) : error
      })
    return {
      status,
      entries: readArray(body),
      hasLink: headers.has('link'),
      limit: readRateLimit(headers),
      clock: { sentAt, receivedAt, serverAt: readHttpDate(headers, 'date') },
    }
  }

  async function request(parameters: Record<string, string>): Promise<LogResponse> {
    const response = await send(parameters)
    // The budget delays the retry as long as the response requires.
    return response.status === 429 ? send(parameters) : response
  }

  return {
    request,
    async read(parameters) {
      const response = await request(parameters)
      if (response.status === 200) return response
      const message = `Auth0 responds to a search of the log with ${response.status}`
      throw new LastLogoutError('AUTH0_UNAVAILABLE', message, { status: response.status })
    },
  }
}

function readArray(text: string): unknown[] {
  try {
    const body: unknown = JSON.parse(text)
    return Array.isArray(body) ? body : []
  } catch {
    // The body of an error response can have another format.
    return []
  }
}
