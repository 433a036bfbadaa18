import { pino } from 'pino'
import { loadConfig } from '../../src/config/config.js'
import { createService } from '../../src/service/service.js'
import type { TestDatabase } from './database.js'
import { DOMAIN } from './tenant.js'

/** The API key of {@link serveApi}. Its roles allow everything except metrics and the requests of gateways. */
export const KEY = 'a-key-of-more-than-32-characters!'

/** An API key to which tests give only the role `metrics`. */
export const METRICS_KEY = 'a-scraper-of-more-than-32-characters'

/** The current version of the service. Release 0.1.0 exports the same functions. */
const CURRENT_VERSION = { createService, loadConfig }

/**
 * Serves the API as `last-logout api` does, by default on a free port. The last argument selects the version of the
 * service.
 */
export async function serveApi(
  { url }: Pick<TestDatabase, 'url'>,
  env: Record<string, string> = {},
  { createService, loadConfig }: typeof CURRENT_VERSION = CURRENT_VERSION,
): Promise<{ url: string; close(): Promise<void> }> {
  const config = loadConfig(
    {
      AUTH0_DOMAIN: DOMAIN,
      DATABASE_URL: url,
      API_KEYS: `test:${KEY}:read+check+feed+logout`,
      PORT: '0',
      ...env,
    },
    ['api', 'database'],
  )
  const service = await createService(config, pino({ level: 'silent' }))
  return { url: await service.startApi(), close: service.close }
}
