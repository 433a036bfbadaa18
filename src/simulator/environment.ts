import type { Simulator } from './server.js'

/** Returns the environment variables that connect last-logout to a simulated tenant. */
export function environmentOf({
  url,
  credentials,
  tenant,
}: Pick<Simulator, 'url' | 'credentials' | 'tenant'>): Record<string, string> {
  return {
    AUTH0_DOMAIN: tenant.domain,
    AUTH0_BASE_URL: url,
    AUTH0_CLIENT_ID: credentials.clientId,
    AUTH0_CLIENT_SECRET: credentials.clientSecret,
  }
}
