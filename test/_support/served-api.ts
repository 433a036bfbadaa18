import { pino } from 'pino'
import { loadConfig } from '../../src/config/config.js'
import { createService } from '../../src/service/service.js'
import type { TestDatabase } from './database.js'
import { DOMAIN } from './tenant.js'

/** The API key of {@link serveApi}. It has every role except `metrics`. */
export const KEY = 'a-key-of-more-than-32-characters!'

/** An API key that tests configure with the role `metrics` only. */
export const SCRAPER = 'a-scraper-of-more-than-32-characters'

/** The exports of the current release that {@link serveApi} uses. Release 0.1.0 has the same exports. */
const CURRENT = { createService, loadConfig }

/** Serves the API as `last-logout api` does, by default on a free port. The last argument selects the release. */
export async function serveApi(
  { url }: Pick<TestDatabase, 'url'>,
  env: Record<string, string> = {},
  { createService, loadConfig }: typeof CURRENT = CURRENT,
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
