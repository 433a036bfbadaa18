import { createLastLogoutClient, type LastLogoutClient } from '../../src/client/index.js'
import type { LastLogoutClientOptions } from '../../src/client/options.js'
import { KEY } from './served-api.js'

/** Creates a client of the API at `url`. By default, the client refuses tokens whose status is unknown. */
export function openClient(
  url: string,
  options: Partial<LastLogoutClientOptions> = {},
): LastLogoutClient {
  return createLastLogoutClient({ url, apiKey: KEY, onUnknown: 'deny', ...options })
}
