import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { LastLogoutStore, LogSource, Search, SearchPage } from '../../src/ports.js'
import type { Span } from '../../src/rules/span.js'
import { buildLogId } from '../../src/simulator/log-id.js'
import { sweep } from '../../src/sync/sweep.js'

const NOW = Date.UTC(2026, 10, 25)

interface Entry {
  log_id: string
  type: string
  user_id: string
}

/**
 * Clusters of entries in the past. A cluster has at least one entry, and possibly more entries than a search returns.
 */
const clusters = fc.array(
  fc.record({
    agoMs: fc.integer({ min: 1_000, max: 20 * 86_400_000 }),
    count: fc.integer({ min: 1, max: 1_600 }),
    everyMs: fc.constantFrom(1, 7, 1_000, 60_000),
  }),
  { maxLength: 5 },
)

test('a sweep reads every entry of its span and no other entry, the newest part first, for any distribution', async () => {
  await fc.assert(
    fc.asyncProperty(clusters, fc.integer({ min: 1, max: 25 }), async (generated, days) => {
      const entries = generated
        .flatMap(({ agoMs, count, everyMs }, cluster) =>
          Array.from({ length: count }, (_, n) => toEntry(NOW - agoMs - n * everyMs, cluster, n)),
        )
        .sort((a, b) => (a.log_id < b.log_id ? 1 : -1))
      const span = { from: NOW - days * 86_400_000, to: NOW }
      const { readUsers, parts } = await sweepAll(searchIn(entries), span)

      const expected = entries.filter(({ log_id }) => log_id >= buildLogId('900', span.from, 0))
      expect([...readUsers].sort()).toEqual(expected.map(({ user_id }) => user_id).sort())
      // Each part ends at the beginning of the previous part, so the parts cover the whole span.
      expect(parts[0]?.to).toBe(span.to)
      expect(parts.at(-1)?.from).toBe(span.from)
      for (const [i, part] of parts.entries()) {
        if (i > 0) expect(part.to).toBe(parts[i - 1]?.from)
      }
    }),
    { numRuns: 60 },
  )
})

test('a sweep ends within 20 requests if a search ignores its span', async () => {
  const entryCounts = fc.integer({ min: 1_000, max: 3_000 })
  const spacings = fc.constantFrom(0, 1, 7, 400, 1_000, 60_000, 3_600_000)
  await fc.assert(
    fc.asyncProperty(entryCounts, spacings, spacings, async (count, everyMs, agoMs) => {
      const at = (n: number) => NOW - 1 - agoMs - n * everyMs
      const entries = Array.from({ length: count }, (_, n) => toEntry(at(n), 0, n))
      let requests = 0
      const search = async ({ page }: Search) => {
        if (++requests > 20) throw new Error('more than 20 requests')
        const matches = entries.slice(0, 1_000).slice(page * 100, page * 100 + 100)
        return { entries: matches, requestedAt: NOW }
      }
      const span = { from: NOW - 30 * 86_400_000, to: NOW }
      await expect(sweepAll(search, span)).rejects.toMatchObject({ code: 'AUTH0_MALFORMED_PAGE' })
    }),
  )
})

test('a sweep reads a burst of a few seconds with few requests', async () => {
  let requests = 0
  const burst = Array.from({ length: 1_600 }, (_, n) => toEntry(NOW - 1_000 - n, 0, n))
  const searchBurst = searchIn(burst)
  const search = (request: Search) => {
    requests += 1
    return searchBurst(request)
  }
  const { readUsers } = await sweepAll(search, { from: NOW - 3_600_000, to: NOW })
  expect(new Set(readUsers).size).toBe(1_600)
  expect(requests).toBeLessThan(60)
})

/** Creates a search that works like Auth0's search: it returns at most 1,000 entries, 100 per page. */
function searchIn(entries: Entry[]) {
  return async ({ span: { from, to }, page }: Search) => {
    const [low, high] = [buildLogId('900', from, 0), buildLogId('900', to, 0)]
    const matches = entries.filter(({ log_id }) => log_id >= low && log_id < high)
    return {
      entries: matches.slice(0, 1_000).slice(page * 100, page * 100 + 100),
      requestedAt: NOW,
    }
  }
}

async function sweepAll(search: (search: Search) => Promise<SearchPage>, span: Span) {
  const readUsers: string[] = []
  const parts: Span[] = []
  const source = { search } as Pick<LogSource, 'search'> as LogSource
  const options = {
    stage: 'sweep' as const,
    span,
    prefix: '900',
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

function toEntry(storedAt: number, cluster: number, n: number): Entry {
  const log_id = buildLogId('900', storedAt, cluster * 10_000 + n)
  return { log_id, type: 'slo', user_id: `${cluster}:${n}` }
}
