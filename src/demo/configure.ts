import { randomBytes } from 'node:crypto'
import { type Config, loadConfig } from '../config/config.js'
import { AUDIENCE } from './provider.js'

/** The interval of the worker's polls. */
const POLL_INTERVAL = '2s'

/**
 * API keys of last-logout: `demo` for the page and the visitor, `action` for the login Action, `app` for the protected
 * API, `gateway` for nginx.
 */
export type DemoKeys = ReturnType<typeof createKeys>

/** Creates the API keys of a demo. */
export function createKeys() {
  return {
    demo: createSecret(),
    action: createSecret(),
    app: createSecret(),
    gateway: createSecret(),
  }
}

/** Creates an API key, or another secret of the demo. */
export function createSecret(): string {
  return randomBytes(24).toString('base64url')
}

/** The settings that the visitor chooses. */
interface Choices {
  env: Record<string, string | undefined>
  pollInterval?: string
}

/** The settings that the demo chooses itself. */
interface DemoSettings {
  /** Variables with the addresses of the tenant and of the API, and the directory of the database. */
  places: Record<string, string>
  issuer: string
  keys: DemoKeys
}

/** Creates the configuration of the service. */
export function configureDemo(
  { env, pollInterval = POLL_INTERVAL }: Choices,
  { places, issuer, keys }: DemoSettings,
): Config<'auth0' | 'database'> {
  const apiKeys = [
    `demo:${keys.demo}:read+check+feed+logout+metrics`,
    `action:${keys.action}:read`,
    `order-desk:${keys.app}:feed+read`,
    `orders-gateway:${keys.gateway}:forward-auth+introspect`,
  ]
  return loadConfig(
    {
      ...places,
      POLL_INTERVAL: pollInterval,
      API_KEYS: apiKeys.join(),
      TOKEN_ISSUER: issuer,
      TOKEN_JWKS_URL: `${issuer}.well-known/jwks.json`,
      TOKEN_AUDIENCES: `orders-gateway=${AUDIENCE}`,
      LOGOUT_ENDPOINT: 'true',
      HOST: env.HOST,
      POLICY: env.POLICY,
      // A log line for every poll would scroll the introduction off the screen.
      LOG_LEVEL: env.LOG_LEVEL || 'warn',
    },
    ['auth0', 'api', 'database'],
  )
}
