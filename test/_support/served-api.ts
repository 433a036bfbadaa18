import { pino } from 'pino'
import { loadConfig } from '../../src/config/config.js'
import { createService } from '../../src/service/service.js'
import type { TestDatabase } from './database.js'
import { DOMAIN } from './tenant.js'

/** A key of {@link serveApi} with every role but `metrics`. */
export const KEY = 'a-key-of-more-than-32-characters!'

/** The key of a service with metrics that may read them, and nothing else. */
export const SCRAPER = 'a-scraper-of-more-than-32-characters'

/** The service of this version. Another release has the same exports. */
const CURRENT = { createService, loadConfig }

/** Serves the API as `last-logout api` does, of this version or of another release. Default port: a free one. */
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
