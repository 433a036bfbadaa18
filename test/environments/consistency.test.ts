import { type Dispatcher, request } from 'undici'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { type RunningCommand, runCommand } from '../_support/cli.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { KEY } from '../_support/served-api.js'
import { CHECKPOINT, openTestStore } from '../_support/store.js'
import { WAIT } from '../_support/wait.js'

const REPORT_COUNT = 10_000
/** Number of concurrent callers, which report logouts and then read them. */
const CALLER_COUNT = 32
const DOMAIN = 'tenant.example'

/** The fields of a response that this test reads. */
interface LastLogoutResponse {
  last_logout_at: string | null
  /** The log is known to have been read up to this instant. */
  as_of: string | null
}

let database: TestDatabase
let store: Awaited<ReturnType<typeof openTestStore>>
const apiProcesses: RunningCommand[] = []
let urls: string[]
beforeAll(async () => {
  database = await createTestDatabase()
  store = await openTestStore(database, { domain: DOMAIN })
  urls = await Promise.all([startApi(), startApi()])
})
afterAll(async () => {
  for (const { kill } of apiProcesses) kill('SIGTERM')
  await Promise.all(apiProcesses.map(({ exited }) => exited))
  await store.close()
  await database.drop()
})

/** Starts `last-logout api` on a free port. Returns its URL. */
async function startApi(): Promise<string> {
  const command = runCommand(['api'], {
    AUTH0_DOMAIN: DOMAIN,
    DATABASE_URL: database.url,
    API_KEYS: `test:${KEY}:read+logout`,
    PORT: '0',
  })
  apiProcesses.push(command)
  return vi.waitFor(() => {
    const [, url] = /"url":"([^"]+)"/.exec(command.stdout()) ?? []
    if (url === undefined) throw new Error(`the API did not start: ${command.output()}`)
    return url
  }, WAIT)
}

/** Sends a request. Does not use `fetch`, whose CPU time would limit the load. */
async function send(url: string, options: Pick<Dispatcher.RequestOptions, 'method' | 'body'>) {
  const headers = { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' }
  const { statusCode, body } = await request(url, { headers, ...options })
  if (statusCode !== 200) throw new Error(await body.text())
  return (await body.json()) as LastLogoutResponse
}

const read = (url: string, userId: string) =>
  send(`${url}/v1/last-logout?user_id=${userId}`, { method: 'GET' })
const report = (url: string, userId: string) =>
  send(`${url}/v1/logouts`, { method: 'POST', body: JSON.stringify({ user_id: userId }) })

/**
 * Stores pages of the log until `signal` aborts. Each page has the logout of one user. Reads this user from both
 * processes during and after the write. Returns the number of pages.
 */
async function storePages(signal: AbortSignal): Promise<number> {
  await store.setFirstCheckpoint(CHECKPOINT, null)
  await store.storeCaughtUp(CHECKPOINT, Date.now() - 60_000)
  let from = CHECKPOINT
  for (let n = 0; ; n++) {
    if (signal.aborted) return n
    const userId = `read-from-log-${n}`
    const at = Date.now() - 1_000
    // A higher log id for each page.
    const next = `${CHECKPOINT.slice(0, -8)}${String(n + 1).padStart(8, '0')}`
    const user = { userId, at, allSessionsAt: null, logId: next, type: 'slo' }
    const batch = { users: [user], sessions: [], unattributable: [] }
    const storing = store.storePage({ from, next, storedAt: at, batch })
    const reads = await Promise.all(urls.flatMap((url) => [read(url, userId), read(url, userId)]))
    expect(await storing).toBe(true)
    // A read during the write may return the old row. But if its `as_of` includes the logout, so must the row.
    for (const { as_of, last_logout_at } of reads) {
      if (as_of !== null && Date.parse(as_of) >= at) expect(last_logout_at).not.toBeNull()
    }
    const readsAfterWrite = await Promise.all(urls.map((url) => read(url, userId)))
    for (const { as_of, last_logout_at } of readsAfterWrite) {
      expect(Date.parse(as_of ?? '')).toBeGreaterThanOrEqual(at)
      expect(last_logout_at).toBe(new Date(at).toISOString())
    }
    from = next
  }
}

test('two API processes under load return each reported logout immediately, and return each logout of the log that is not after `as_of`', async () => {
  const stop = new AbortController()
  const storing = storePages(stop.signal)
  let nextNumber = 0
  const staleReads: unknown[] = []
  async function reportAndRead(): Promise<void> {
    while (nextNumber < REPORT_COUNT) {
      const n = nextNumber++
      // Some users log out more than once, so that their row already exists.
      const userId = `reported-${n % Math.ceil(REPORT_COUNT / 2)}`
      const [reportingUrl = '', otherUrl = ''] = n % 2 === 0 ? urls : urls.toReversed()
      const reported = await report(reportingUrl, userId)
      const reads = await Promise.all([read(reportingUrl, userId), read(otherUrl, userId)])
      // Another caller can report a later logout of the same user, so a read may return a later time. RFC 3339 times
      // compare as text.
      for (const { last_logout_at } of reads) {
        const isStale = (last_logout_at ?? '') < (reported.last_logout_at ?? '9')
        if (isStale) staleReads.push({ n, reported: reported.last_logout_at, last_logout_at })
      }
    }
  }
  try {
    await Promise.all(Array.from({ length: CALLER_COUNT }, reportAndRead))
  } finally {
    stop.abort()
  }
  expect(staleReads).toEqual([])
  expect(await storing).toBeGreaterThan(10)
}, 180_000)
