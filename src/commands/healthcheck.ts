import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'
import { readApiUrl } from '../config/api-address.js'
import { LastLogoutError } from '../errors.js'
import type { CommandContext } from './context.js'

/** Options of `healthcheck`. Without an option, the command checks that the process responds. */
export interface HealthcheckOptions {
  /** Check that the database is available. */
  ready?: true
  /** Check that the data is fresh. This check also fails if the database is unavailable. */
  fresh?: true
}

/**
 * Timeout of the response, in milliseconds. It is shorter than the timeout of container engines: when that timeout
 * expires, they report no reason.
 */
const TIMEOUT_MS = 4_000

/**
 * Runs `healthcheck`: requests the health of the API at `HOST` and `PORT`, and prints one line.
 *
 * @throws `UNHEALTHY` if the status of the response is not 200, or if there is no response.
 */
export async function runHealthcheck(
  { env, print }: Pick<CommandContext, 'env' | 'print'>,
  { ready, fresh }: HealthcheckOptions,
  timeoutMs = TIMEOUT_MS,
): Promise<void> {
  const url = `${readApiUrl(env)}/health/${fresh ? 'fresh' : ready ? 'ready' : 'live'}`
  const status = await requestStatus(url, timeoutMs).catch((error: unknown) => {
    const failure = describeFailure(error, timeoutMs)
    throw new LastLogoutError('UNHEALTHY', `${url} ${failure}`, { cause: error })
  })
  if (status === 200) return print(`${url} returned 200\n`)
  throw new LastLogoutError(
    'UNHEALTHY',
    `${url} returned ${status}${describeStatus(status, fresh)}`,
  )
}

/**
 * Requests a URL, and returns the status of the response. Uses `node:http`, which loads three times faster than
 * `fetch`.
 */
async function requestStatus(url: string, timeoutMs: number): Promise<number | undefined> {
  const request = get(url, { signal: AbortSignal.timeout(timeoutMs), agent: false })
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  response.destroy()
  return response.statusCode
}

function describeFailure(error: unknown, timeoutMs: number): string {
  const { name, code } = error as NodeJS.ErrnoException
  if (name === 'AbortError')
    return `did not respond within ${timeoutMs} ms: read the log of the API`
  return `cannot be reached (${code}): check that the API runs here, at this HOST and PORT`
}

function describeStatus(status: number | undefined, fresh: true | undefined): string {
  if (status !== 503) return ': another program listens at this HOST and PORT'
  return fresh
    ? ': the data is older than MAX_LAG, or the database is unavailable. `last-logout status` shows which'
    : ': the database is unavailable. `last-logout doctor` shows why'
}
