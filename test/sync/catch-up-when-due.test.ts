import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import type { LogSource } from '../../src/ports.js'
import { syntheticLogId } from '../../src/rules/log-id.js'
import { reconcile } from '../../src/sync/poll.js'
import { createMemoryStore } from '../_support/memory-store.js'
import { LOGOUT_TYPES, POLL_OPTIONS } from '../_support/poll.js'

const NOW = Date.now()

/** Reconciles a log without logouts. Returns the kinds of the requests, in order. */
async function runReconcile(
  pollIntervalMs: number,
  awaitSpareBudget: LogSource['awaitSpareBudget'],
): Promise<string[]> {
  const requests: string[] = []
  const respond = async (kind: string) => {
    requests.push(kind)
    return { entries: [], requestedAt: NOW }
  }
  // The sweep reads up to two parts. Each part has a page with an entry, and an empty page.
  let searches = 0
  const source: LogSource = {
    readPage: async (from) => ({ ...(await respond('page')), next: from }),
    async search({ page }) {
      const response = await respond('search')
      searches += 1
      return page === 0 && searches < 4 ? { ...response, entries: [{ type: 's' }] } : response
    },
    readNewest: () => respond('newest'),
    readOldest: () => respond('oldest'),
    awaitSpareBudget,
  }
  const readTo = NOW - 60_000
  const store = createMemoryStore({ checkpoint: syntheticLogId(readTo), asOf: readTo })
  const options = { ...POLL_OPTIONS, pollIntervalMs }
  await reconcile({ source, store, types: LOGOUT_TYPES }, options, new AbortController().signal)
  return requests
}

test('reconcile sends a search at once if the rate limit leaves spare requests, and ends with a catch-up', async () => {
  await expect(runReconcile(60_000, async () => true)).resolves.toEqual([
    'page',
    'search',
    'search',
    'page',
  ])
})

test('reconcile does not delay a catch-up while a search waits for the rate limit', async () => {
  const waits: number[] = []
  let isFirst = true
  const requests = await runReconcile(60, async (maxWaitMs) => {
    waits.push(maxWaitMs)
    if (!isFirst) return true
    isFirst = false
    // No request is spare until the catch-up is due.
    await sleep(maxWaitMs)
    return false
  })
  expect(requests.slice(0, 3)).toEqual(['page', 'page', 'search'])
  expect(Math.max(...waits)).toBeLessThanOrEqual(60)
})

test('reconcile sends a search after each catch-up, even if the rate limit never leaves spare requests', async () => {
  const requests = await runReconcile(20, async (maxWaitMs) => {
    await sleep(maxWaitMs)
    return false
  })
  expect(requests).toEqual(['page', 'page', 'search', 'page', 'search', 'page'])
})
