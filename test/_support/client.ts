import { createLastLogoutClient, type LastLogoutClient } from '../../src/client/index.js'
import type { LastLogoutClientOptions } from '../../src/client/options.js'
import { KEY } from './served-api.js'

/** Creates a client of the API at `url`. With `deny`, the client refuses a token that it could not check. */
export function openClient(
  url: string,
  options: Partial<LastLogoutClientOptions> = {},
): LastLogoutClient {
  return createLastLogoutClient({ url, apiKey: KEY, onUnknown: 'deny', ...options })
}
