import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { LastLogoutStore, LogSource, Search, SearchPage } from '../../src/ports.js'
import type { Span } from '../../src/rules/span.js'
import { buildLogId } from '../../src/simulator/log-id.js'
import { sweep } from '../../src/sync/sweep.js'

// A sweep searches the entries that Auth0 stored in a span of time, instead of reading all pages of the log. A search
// returns at most 1,000 entries, so the sweep divides its span into parts. The newest part is the first. Each test
// gives every entry its own user, so the read users show which entries were read.

const NOW = Date.UTC(2026, 10, 25)
const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
/** The prefix of all log ids of the tenant. */
const PREFIX = '900'

interface Entry {
  log_id: string
  type: string
  user_id: string
}

/**
 * Generates clusters of entries. The newest entry of a cluster was stored `agoMs` before NOW, and the others at equal
 * intervals before it. A cluster can have more entries than a search returns.
 */
const clusters = fc.array(
  fc.record({
    agoMs: fc.integer({ min: 1_000, max: 20 * DAY_MS }),
    count: fc.integer({ min: 1, max: 1_600 }),
    intervalMs: fc.constantFrom(1, 7, 1_000, 60_000),
  }),
  { maxLength: 5 },
)

test('a sweep reads every entry of its span and no other entry, the newest part first, for any distribution', async () => {
  await fc.assert(
    fc.asyncProperty(clusters, fc.integer({ min: 1, max: 25 }), async (randomClusters, days) => {
      const entries = randomClusters
        .flatMap(({ agoMs, count, intervalMs }, cluster) =>
          Array.from({ length: count }, (_, n) =>
            buildLogout(NOW - agoMs - n * intervalMs, cluster, n),
          ),
        )
        // Newest first.
        .sort((a, b) => (a.log_id < b.log_id ? 1 : -1))
      const span = { from: NOW - days * DAY_MS, to: NOW }
      const { readUsers, parts } = await sweepSpan(searchIn(entries), span)

      const firstLogId = buildLogId(PREFIX, span.from, 0)
      const entriesInSpan = entries.filter(({ log_id }) => log_id >= firstLogId)
      expect(readUsers.toSorted()).toEqual(entriesInSpan.map(({ user_id }) => user_id).sort())
      // Each part ends at the beginning of the previous part, so the parts cover the whole span.
      expect(parts[0]?.to).toBe(span.to)
      expect(parts.at(-1)?.from).toBe(span.from)
      for (const [index, part] of parts.entries()) {
        if (index > 0) expect(part.to).toBe(parts[index - 1]?.from)
      }
    }),
    { numRuns: 60 },
  )
})

test('a sweep fails after at most 20 requests if every search returns the same 1,000 entries, whatever span is searched', async () => {
  const entryCounts = fc.integer({ min: 1_000, max: 3_000 })
  const durations = fc.constantFrom(0, 1, 7, 400, 1_000, 60_000, HOUR_MS)
  await fc.assert(
    fc.asyncProperty(entryCounts, durations, durations, async (count, intervalMs, agoMs) => {
      const storedAt = (n: number) => NOW - 1 - agoMs - n * intervalMs
      const entries = Array.from({ length: count }, (_, n) => buildLogout(storedAt(n), 0, n))
      let requests = 0
      const search = async ({ page }: Search) => {
        if (++requests > 20) throw new Error('more than 20 requests')
        return { entries: pageOf(entries, page), requestedAt: NOW }
      }
      const span = { from: NOW - 30 * DAY_MS, to: NOW }
      await expect(sweepSpan(search, span)).rejects.toMatchObject({ code: 'AUTH0_MALFORMED_PAGE' })
    }),
  )
})

test('a sweep reads 1,600 entries of a few seconds with fewer than 60 requests', async () => {
  let requests = 0
  const burst = Array.from({ length: 1_600 }, (_, n) => buildLogout(NOW - 1_000 - n, 0, n))
  const searchBurst = searchIn(burst)
  const search = (request: Search) => {
    requests += 1
    return searchBurst(request)
  }
  const { readUsers } = await sweepSpan(search, { from: NOW - HOUR_MS, to: NOW })
  expect(new Set(readUsers).size).toBe(1_600)
  expect(requests).toBeLessThan(60)
})

// docs/scaling.md counts on this factor.
test('a sweep of 20 minutes with 10 logouts per second sends at most 1.3 searches per 100 logouts', async () => {
  let requests = 0
  const logouts = Array.from({ length: 12_000 }, (_, n) => buildLogout(NOW - 1 - n * 100, 0, n))
  const searchLogouts = searchIn(logouts)
  const search = (request: Search) => {
    requests += 1
    return searchLogouts(request)
  }
  const { readUsers } = await sweepSpan(search, { from: NOW - 20 * 60_000, to: NOW })
  expect(readUsers).toHaveLength(logouts.length)
  expect(requests).toBeLessThanOrEqual(1.3 * 120)
})

/** Creates a search that works like Auth0's search: it returns the entries whose log ids are in the span. */
function searchIn(entries: Entry[]) {
  return async ({ span, page }: Search) => {
    const firstLogId = buildLogId(PREFIX, span.from, 0)
    const endLogId = buildLogId(PREFIX, span.to, 0)
    const matches = entries.filter(({ log_id }) => log_id >= firstLogId && log_id < endLogId)
    return { entries: pageOf(matches, page), requestedAt: NOW }
  }
}

/** Returns a page of the matches of a search: 100 of the first 1,000 matches. Pages are numbered from 0. */
function pageOf(matches: Entry[], page: number): Entry[] {
  return matches.slice(0, 1_000).slice(page * 100, (page + 1) * 100)
}

/** Sweeps a span. Returns the users of all entries that were read, and the parts of the span, in their order. */
async function sweepSpan(search: (search: Search) => Promise<SearchPage>, span: Span) {
  const readUsers: string[] = []
  const parts: Span[] = []
  // `sweep` uses no other method of the source, and stores through `options.store`.
  const source = { search } as Pick<LogSource, 'search'> as LogSource
  const options = {
    stage: 'sweep' as const,
    span,
    prefix: PREFIX,
    beforeRequest: async () => {},
    store: async ({ users }: { users: { userId: string }[] }, part: Span) => {
      readUsers.push(...users.map(({ userId }) => userId))
      parts.push(part)
    },
  }
  const deps = { source, store: {} as LastLogoutStore, types: new Set(['slo']) }
  await sweep(deps, options, new AbortController().signal)
  return { readUsers, parts }
}

/** Builds the logout number `n` of a cluster. A cluster has fewer than 10,000 entries, so every log id is different. */
function buildLogout(storedAt: number, cluster: number, n: number): Entry {
  const log_id = buildLogId(PREFIX, storedAt, cluster * 10_000 + n)
  return { log_id, type: 'slo', user_id: `${cluster}:${n}` }
}
