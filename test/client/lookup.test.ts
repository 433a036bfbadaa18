import { createServer } from 'node:http'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createLookup } from '../../src/client/lookup.js'
import { readOptions } from '../../src/client/options.js'
import type { Token } from '../../src/rules/token.js'
import { createSettableClocks, type SettableClocks } from '../_support/client-clocks.js'
import { type LoopbackServer, openLoopback } from '../_support/loopback.js'

const CACHE_MS = 60_000

const token = { subject: 'auth0|1', sessionId: null } as Token

let server: LoopbackServer
let requests: number
let clocks: SettableClocks
let lookup: ReturnType<typeof createLookup>
beforeEach(async () => {
  requests = 0
  const http = createServer((_request, response) => {
    requests++
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
        lag_ms: 800,
        complete: true,
      }),
    )
  })
  server = await openLoopback(http)
  clocks = createSettableClocks()
  const options = {
    url: server.url,
    apiKey: 'unused',
    onUnknown: 'deny',
    cacheMs: CACHE_MS,
  } as const
  lookup = createLookup(readOptions(options), clocks)
  await lookup.fetch(token)
})
afterEach(async () => {
  await server.close()
})

describe('a cached response', () => {
  test('a cached response is used again until `cacheMs` has passed', async () => {
    clocks.setWallAhead(CACHE_MS / 2)
    await lookup.fetch(token)
    expect(requests).toBe(1)
    expect(lookup.cached(token)).toBeDefined()
  })

  test('a cached response is not used again after the serverless function was frozen for `cacheMs`', async () => {
    const cached = lookup.cached(token)
    clocks.suspend(CACHE_MS)
    expect(lookup.cached(token)).toBeUndefined()
    expect(cached?.freshness.ageMs()).toBeGreaterThanOrEqual(CACHE_MS + 800)
    await lookup.fetch(token)
    expect(requests).toBe(2)
  })

  test('a cached response expires after `cacheMs` even if the wall clock was set back', () => {
    clocks.setWallAhead(-CACHE_MS)
    clocks.advanceMonotonic(CACHE_MS)
    expect(lookup.cached(token)).toBeUndefined()
  })
})

test("concurrent calls for the same user share one request with `lookup: 'feed'`", async () => {
  clocks.suspend(CACHE_MS)
  const results = await Promise.all([lookup.fetch(token), lookup.fetch(token)])
  expect(results[0]).toBe(results[1])
  expect(requests).toBe(2)
})
