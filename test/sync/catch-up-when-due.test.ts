import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import type { LogSource } from '../../src/ports.js'
import { syntheticLogId } from '../../src/rules/log-id.js'
import { reconcile } from '../../src/sync/poll.js'
import { createMemoryStore } from '../_support/memory-store.js'
import { LOGOUT_TYPES, POLL_OPTIONS } from '../_support/poll.js'

// `reconcile` reads the log to its end (a catch-up), and then searches the recent log again for entries that became
// visible late. Searches and pages share Auth0's rate limit, and catch-ups come first: whenever a poll is due,
// `reconcile` catches up before its next search.

const NOW = Date.now()

/**
 * Reconciles a log without logouts. Returns the kinds of the requests, in order: a catch-up takes one `page`, and the
 * search takes two requests `search`.
 *
 * @param awaitSpareBudget Waits until the rate limit leaves requests for a search. Returns false if this is not the
 *   case when the next catch-up is due.
 */
async function runReconcile(
  pollIntervalMs: number,
  awaitSpareBudget: LogSource['awaitSpareBudget'],
): Promise<string[]> {
  const requests: string[] = []
  const respond = async (kind: string) => {
    requests.push(kind)
    return { entries: [], requestedAt: NOW }
  }
  const source: LogSource = {
    readPage: async (from) => ({ ...(await respond('page')), next: from }),
    async search({ page }) {
      const response = await respond('search')
      const isFirstPage = page === 0
      // The log contains one login, which is not a logout.
      return isFirstPage ? { ...response, entries: [{ type: 's' }] } : response
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

test('reconcile searches at once if the rate limit leaves spare requests, and ends with a catch-up', async () => {
  const pollIntervalMs = 60_000
  const requests = await runReconcile(pollIntervalMs, async () => true)
  expect(requests).toEqual(['page', 'search', 'search', 'page'])
})

test('reconcile does not delay a catch-up while a search waits for the rate limit', async () => {
  const pollIntervalMs = 60
  const maxWaitsMs: number[] = []
  const requests = await runReconcile(pollIntervalMs, async (maxWaitMs) => {
    maxWaitsMs.push(maxWaitMs)
    const isFirstWait = maxWaitsMs.length === 1
    if (!isFirstWait) return true
    // The rate limit leaves no spare request until the catch-up is due.
    await sleep(maxWaitMs)
    return false
  })
  expect(requests.slice(0, 3)).toEqual(['page', 'page', 'search'])
  expect(Math.max(...maxWaitsMs)).toBeLessThanOrEqual(pollIntervalMs)
})

test('reconcile sends a search after each catch-up, even if the rate limit never leaves spare requests', async () => {
  const pollIntervalMs = 20
  const requests = await runReconcile(pollIntervalMs, async (maxWaitMs) => {
    await sleep(maxWaitMs)
    return false
  })
  // Each search is delayed until a catch-up is due, and follows this catch-up.
  expect(requests).toEqual(['page', 'page', 'search', 'page', 'search', 'page'])
})
