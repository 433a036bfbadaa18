import { createLastLogoutClient, type LastLogoutClient } from '../../src/client/index.js'
import type { LastLogoutClientOptions } from '../../src/client/options.js'
import { KEY } from './served-api.js'

/** Creates a client of the API at `url`. The client rejects tokens whose revocation status is unknown. */
export function openClient(
  url: string,
  options: Partial<LastLogoutClientOptions> = {},
): LastLogoutClient {
  return createLastLogoutClient({ url, apiKey: KEY, onUnknown: 'deny', ...options })
}
