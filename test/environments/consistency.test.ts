import { type Dispatcher, request } from 'undici'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { type RunningCommand, runCommand } from '../_support/cli.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { KEY } from '../_support/served-api.js'
import { CHECKPOINT, openTestStore } from '../_support/store.js'
import { WAIT } from '../_support/wait.js'

// Two processes serve the API of one database. Callers report logouts to them, and read each logout from both.
// Meanwhile, the test stores pages of the tenant log, as a worker does. No read may return an older state than was
// promised before.

/** Number of logouts that the callers report. */
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

/** Sends a request. Uses `undici` directly, because the CPU time of `fetch` would limit the load. */
async function send(url: string, options: Pick<Dispatcher.RequestOptions, 'method' | 'body'>) {
  const headers = { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' }
  const { statusCode, body } = await request(url, { headers, ...options })
  if (statusCode !== 200) throw new Error(await body.text())
  return (await body.json()) as LastLogoutResponse
}

/** Requests the last logout of a user. */
const requestLastLogout = (url: string, userId: string) =>
  send(`${url}/v1/last-logout?user_id=${userId}`, { method: 'GET' })
/** Reports a logout of a user, now. The response contains the stored instant. */
const reportLogout = (url: string, userId: string) =>
  send(`${url}/v1/logouts`, { method: 'POST', body: JSON.stringify({ user_id: userId }) })

/**
 * Stores pages of the log until `signal` aborts. Each page has the logout of one user, a second ago. Reads this user
 * from both processes during and after the write, and checks what they return. Returns the number of pages.
 */
async function storePages(signal: AbortSignal): Promise<number> {
  await store.setFirstCheckpoint(CHECKPOINT, null)
  // Sets `as_of` to an instant before the first of these logouts. Each page then moves it to the time of its logout.
  await store.storeCaughtUp(CHECKPOINT, Date.now() - 60_000)
  let checkpoint = CHECKPOINT
  for (let pages = 0; ; pages++) {
    if (signal.aborted) return pages
    const userId = `read-from-log-${pages}`
    const loggedOutAt = Date.now() - 1_000
    // The checkpoint after this page. Its last eight digits count the pages.
    const next = `${CHECKPOINT.slice(0, -8)}${String(pages + 1).padStart(8, '0')}`
    const user = { userId, at: loggedOutAt, allSessionsAt: null, logId: next, type: 'slo' }
    const batch = { users: [user], sessions: [], unattributable: [] }
    const storing = store.storePage({ from: checkpoint, next, storedAt: loggedOutAt, batch })
    const reads = await Promise.all(
      urls.flatMap((url) => [requestLastLogout(url, userId), requestLastLogout(url, userId)]),
    )
    expect(await storing).toBe(true)
    // A read during the write may not return the logout yet. But then its `as_of` must be before the logout.
    for (const { as_of, last_logout_at } of reads) {
      if (as_of !== null && Date.parse(as_of) >= loggedOutAt) expect(last_logout_at).not.toBeNull()
    }
    const readsAfterWrite = await Promise.all(urls.map((url) => requestLastLogout(url, userId)))
    for (const { as_of, last_logout_at } of readsAfterWrite) {
      expect(Date.parse(as_of ?? '')).toBeGreaterThanOrEqual(loggedOutAt)
      expect(last_logout_at).toBe(new Date(loggedOutAt).toISOString())
    }
    checkpoint = next
  }
}

test('two API processes under load return each reported logout immediately, and each logout of the log that is not after the as_of of the response', async () => {
  const stop = new AbortController()
  const storing = storePages(stop.signal)
  let nextNumber = 0
  const staleReads: unknown[] = []
  async function reportAndRead(): Promise<void> {
    while (nextNumber < REPORT_COUNT) {
      const reportNumber = nextNumber++
      // Every user logs out twice. At the second logout, the row of the user already exists.
      const userId = `reported-${reportNumber % (REPORT_COUNT / 2)}`
      const [reportingUrl = '', otherUrl = ''] = reportNumber % 2 === 0 ? urls : urls.toReversed()
      const reported = await reportLogout(reportingUrl, userId)
      const reads = await Promise.all([
        requestLastLogout(reportingUrl, userId),
        requestLastLogout(otherUrl, userId),
      ])
      const reportedAt = Date.parse(reported.last_logout_at ?? '')
      expect(reportedAt).not.toBeNaN()
      // A read may return a later time, because another caller can report a later logout of the same user.
      for (const { last_logout_at } of reads) {
        const isStale = last_logout_at === null || Date.parse(last_logout_at) < reportedAt
        if (isStale) {
          staleReads.push({ reportNumber, reported: reported.last_logout_at, last_logout_at })
        }
      }
    }
  }
  try {
    await Promise.all(Array.from({ length: CALLER_COUNT }, reportAndRead))
  } finally {
    stop.abort()
  }
  expect(staleReads).toEqual([])
  const pageCount = await storing
  expect(pageCount).toBeGreaterThan(10)
}, 180_000)
