import { createServer } from 'node:http'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createLookup } from '../../src/client/lookup.js'
import { readOptions } from '../../src/client/options.js'
import type { Token } from '../../src/rules/token.js'
import { createSettableClocks, type SettableClocks } from '../_support/client-clocks.js'
import { type LoopbackServer, openLoopback } from '../_support/loopback.js'

const CACHE_MS = 60_000
const LAG_MS = 800

const token = { subject: 'auth0|1', sessionId: null } as Token

let server: LoopbackServer
let requestCount: number
let clocks: SettableClocks
let lookup: ReturnType<typeof createLookup>
beforeEach(async () => {
  requestCount = 0
  const httpServer = createServer((_request, response) => {
    requestCount++
    response.end(
      JSON.stringify({
        user_id: 'auth0|1',
        last_logout_at: null,
        last_logout: null,
        all_sessions_at: null,
        session: null,
        floor_at: null,
        policy: 'session',
        as_of: new Date().toISOString(),
        lag_ms: LAG_MS,
        complete: true,
      }),
    )
  })
  server = await openLoopback(httpServer)
  clocks = createSettableClocks()
  const options = {
    url: server.url,
    apiKey: 'unused',
    onUnknown: 'deny',
    cacheMs: CACHE_MS,
  } as const
  lookup = createLookup(readOptions(options), clocks)
  // The response to this first request is cached.
  await lookup.fetch(token)
})
afterEach(async () => {
  await server.close()
})

describe('a cached response', () => {
  test('a cached response is used again until `cacheMs` has passed', async () => {
    clocks.setWallAhead(CACHE_MS / 2)
    await lookup.fetch(token)
    expect(requestCount).toBe(1)
    expect(lookup.cached(token)).toBeDefined()
  })

  test('a cached response is not used again after the serverless function was frozen for `cacheMs`', async () => {
    const cached = lookup.cached(token)
    clocks.suspend(CACHE_MS)
    expect(lookup.cached(token)).toBeUndefined()
    expect(cached?.freshness.ageMs()).toBeGreaterThanOrEqual(CACHE_MS + LAG_MS)
    await lookup.fetch(token)
    expect(requestCount).toBe(2)
  })

  test('a cached response expires after `cacheMs` even if the wall clock was set back', () => {
    clocks.setWallAhead(-CACHE_MS)
    clocks.advanceMonotonic(CACHE_MS)
    expect(lookup.cached(token)).toBeUndefined()
  })
})

test("with `lookup: 'feed'`, concurrent lookups of the same user share one request", async () => {
  // The cached response expires.
  clocks.suspend(CACHE_MS)
  const results = await Promise.all([lookup.fetch(token), lookup.fetch(token)])
  expect(results[0]).toBe(results[1])
  expect(requestCount).toBe(2)
})
