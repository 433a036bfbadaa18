import type { ManagementClient } from 'auth0'
import type { ManagementApi } from '../management-api.js'
import { createPause } from '../rate/pause.js'
import { type RetryLimits, retry } from '../retry.js'

type Request<T> = (client: ManagementClient['actions']) => Promise<T>

/** Sends requests to Auth0's endpoints for Actions. After a 429, all requests wait as long as the response requires. */
export interface ActionRequests {
  /** Sends a request that changes nothing. Retries transient errors. */
  read<T>(request: Request<T>): Promise<T>
  /** Sends a write. Does not retry it, because a write without a response can have succeeded. */
  write<T>(scope: string, request: Request<T>): Promise<T>
}

/** Creates the functions that send requests with Auth0's SDK. */
export function createActionRequests(
  api: ManagementApi,
  signal: AbortSignal,
  retryLimits: RetryLimits | undefined,
): ActionRequests {
  const pause = createPause()

  async function send<T>(scope: string, request: Request<T>): Promise<T> {
    await pause.wait(signal)
    return api
      .call(scope, (client) => request(client.actions), signal)
      .catch((error) => {
        pause.beginIfRateLimited(error)
        throw error
      })
  }

  return {
    write: send,
    read: (request) => retry(() => send('read:actions', request), signal, retryLimits),
  }
}
