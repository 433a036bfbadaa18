import { pino } from 'pino'
import { loadConfig } from '../../src/config/config.js'
import { createService, type Service } from '../../src/service/service.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { type Family, parseExposition } from '../_support/exposition.js'
import { METRICS_KEY } from '../_support/served-api.js'
import { openTenant, type TestTenant, tenantEnv } from '../_support/tenant.js'

/** A key with every role except `metrics`. */
export const CALLER_KEY = 'a-caller-of-more-than-32-characters'

/** Options of `vi.waitFor` and `expect.poll`. Each attempt scrapes all metrics, so the interval is not short. */
export const POLLING = { timeout: 20_000, interval: 100 }

/** A service with its database and its tenant. */
export interface MeasuredService {
  testTenant: TestTenant
  database: TestDatabase
  service: Service
  /** Opens a second service of the same tenant, like another process. Close it before this service. */
  openSecondService(): Promise<Service>
  close(): Promise<void>
}

/** Opens a service whose worker polls every 200 ms. Its tenant stores each entry 1.5 s after the date of the entry. */
export async function openMeasuredService(
  env: Record<string, string> = {},
): Promise<MeasuredService> {
  const database = await createTestDatabase()
  const testTenant = await openTenant(
    { lagMs: () => 1_500 },
    { rateLimit: { burst: 1_000, perSecond: 50 } },
  )
  const config = loadConfig(
    {
      ...tenantEnv(testTenant.simulator),
      DATABASE_URL: database.url,
      API_KEYS: `caller:${CALLER_KEY}:read+check+feed+logout,prometheus:${METRICS_KEY}:metrics`,
      PORT: '0',
      POLL_INTERVAL: '200ms',
      ...env,
    },
    ['auth0', 'api', 'database'],
  )
  const open = () => createService(config, pino({ level: 'silent' }))
  const service = await open()
  return {
    testTenant,
    database,
    service,
    openSecondService: open,
    async close() {
      await service.close()
      await testTenant.close()
      await database.drop()
    },
  }
}

/** Requests the metrics. Returns the text, and the parsed families: all samples of each metric. */
export async function scrape(
  url: string,
): Promise<{ text: string; families: Map<string, Family> }> {
  const response = await fetch(`${url}/metrics`, {
    headers: { authorization: `Bearer ${METRICS_KEY}` },
  })
  if (response.status !== 200) throw new Error(`the scrape failed with status ${response.status}`)
  const text = await response.text()
  return { text, families: parseExposition(text) }
}

/** Returns the value of the first sample with this name and these labels, or `undefined` if there is none. */
export function readValue(
  families: Map<string, Family>,
  name: string,
  labels: Record<string, string> = {},
): number | undefined {
  // The samples of a histogram have the name of its family and one of these suffixes.
  const [familyName = ''] = [...families.keys()].filter(
    (family) => name === family || name.replace(/_(bucket|sum|count)$/, '') === family,
  )
  return families
    .get(familyName)
    ?.samples.find(
      (sample) =>
        sample.name === name &&
        Object.entries(labels).every(([label, value]) => sample.labels[label] === value),
    )?.value
}
