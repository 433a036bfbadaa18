import { pino } from 'pino'
import { loadConfig } from '../../src/config/config.js'
import { createService } from '../../src/service/service.js'
import type { TestDatabase } from './database.js'
import { DOMAIN } from './tenant.js'

/** The key of {@link serveApi}, with every role. */
export const KEY = 'a-key-of-more-than-32-characters!'

/** The service of the sources; another release has the same exports. */
const CURRENT = { createService, loadConfig }

/** The API as `last-logout api` of a release serves it, on a port of its own unless told which. */
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
