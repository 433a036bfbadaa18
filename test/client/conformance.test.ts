import { createHmac } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { type CheckContext, checkWithoutRequest } from '../../src/client/check.js'
import { createClaimReport } from '../../src/client/claim-report.js'
import { createEventReader, type ServerSentEvent } from '../../src/client/event-stream.js'
import { createFeedReader } from '../../src/client/feed-events.js'
import { createFeedFreshness } from '../../src/client/feed-freshness.js'
import { createFeedProgress } from '../../src/client/feed-progress.js'
import { createReceiver, type FeedSubscriber } from '../../src/client/feed-subscriber.js'
import { createLogoutCache } from '../../src/client/logout-cache.js'
import { readOptions } from '../../src/client/options.js'
import { createOutageReport } from '../../src/client/outage-report.js'
import { createWaiters } from '../../src/client/waiters.js'
import { toDateTime } from '../../src/rules/instant.js'
import type { KnownLogouts, Policy } from '../../src/rules/judge.js'
import { judgeClaims } from '../../src/rules/judge-claims.js'
import { createKeyedHash } from '../../src/rules/keyed-hash.js'
import { readLastLogoutResponse } from '../../src/rules/last-logout-response.js'
import { claimNames, readToken } from '../../src/rules/token.js'
import { eventText } from '../_support/scripted-feed.js'

// The files in `conformance` are test vectors for a client in any language. docs/feed.md describes their fields.

/** The known logouts of a user and a session, with the field names of `GET /v1/last-logout`. */
interface WireLogouts {
  last_logout_at: string | null
  all_sessions_at: string | null
  session: { logout_at: string | null; ended: boolean } | null
  floor_at: string | null
}

type Claims = Record<string, unknown>

/** A step of a case in feed.json. Each field is an input or an expectation at the instant `at`. */
interface Step {
  at: string
  connect?: { since: string; after: string | null }
  receive?: { event: string; id?: string; data: object }[]
  ends_connection?: boolean
  rows?: number
  age_ms?: number | null
  find?: (WireLogouts & { user_id: string; session_id: string | null })[]
  check?: { claims: Claims; outcome: string; reason: string }[]
}

interface FeedVectors {
  options: { max_staleness_ms: number; horizon_ms: number; leeway_ms: number }
  cases: { name: string; steps: Step[] }[]
}

const readVectors = (name: string) =>
  JSON.parse(readFileSync(`conformance/${name}.json`, 'utf8')) as unknown

const { options, cases } = readVectors('feed') as FeedVectors

/**
 * Opens the parts of a client without a connection. The test passes the events of a case to `receive`. One clock, which
 * the test sets, replaces both clocks.
 */
function openFeedParts() {
  const now = () => Date.now()
  const clocks = { monotonic: now, wall: now }
  const settings = readOptions({
    url: 'http://127.0.0.1',
    apiKey: 'unused',
    onUnknown: 'deny',
    maxStalenessMs: options.max_staleness_ms,
    leewayMs: options.leeway_ms,
  })
  const { horizon_ms: horizonMs } = options
  const cache = createLogoutCache()
  const freshness = createFeedFreshness(clocks, settings.maxStalenessMs)
  let connection = new AbortController()
  const progress = createFeedProgress(cache, {
    ...settings,
    horizonMs,
    maxReloadDelayMs: 10_000,
    now,
    onReload: () => connection.abort(),
  })
  const outage = createOutageReport(undefined, clocks)
  const receiverContext = { progress, freshness, outage, waiters: createWaiters() }
  let readChunk = (_text: string) => {}
  const feed: Pick<FeedSubscriber, 'start' | 'freshness' | 'completeSince'> = {
    start: () => {},
    freshness: freshness.current,
    completeSince: progress.completeSince,
  }
  const context: CheckContext = {
    settings,
    names: claimNames(),
    reportClaims: createClaimReport(undefined),
    lookup: { cached: () => undefined, fetch: () => Promise.reject(new Error('not expected')) },
    lookupOutage: outage,
    isLookupStale: () => true,
    isFeedStale: (stated) => stated === null || stated.ageMs() > settings.maxStalenessMs,
    cache,
    feed: feed as FeedSubscriber,
    firstLoad: null,
  }
  return {
    cache,
    ageMs: () => freshness.current()?.ageMs() ?? null,
    check: (claims: Claims) => checkWithoutRequest(context, claims),
    connect() {
      connection = new AbortController()
      const { signal } = connection
      const { receive } = createReceiver(receiverContext, connection, clocks)
      readChunk = createFeedReader((event) => void (signal.aborted || receive(event)))
      return progress.nextQuery()
    },
    /** Returns whether the client has ended the connection. */
    receive(text: string): boolean {
      try {
        readChunk(text)
      } catch (error) {
        expect(error).toMatchObject({ code: 'NOT_UNDERSTOOD' })
        return true
      }
      return connection.signal.aborted
    },
    close() {
      progress.close()
      freshness.stop()
    },
  }
}

function toWire({ user, session, floorAt }: KnownLogouts): WireLogouts {
  return {
    last_logout_at: toDateTime(user?.at ?? null),
    all_sessions_at: toDateTime(user?.allSessionsAt ?? null),
    session: session && { logout_at: toDateTime(session.at), ended: session.ended },
    floor_at: toDateTime(floorAt),
  }
}

/** Applies the inputs of a step, and checks its expectations. */
function runStep(parts: ReturnType<typeof openFeedParts>, step: Step): void {
  // Vitest prints the step if an expectation fails.
  const stepText = JSON.stringify(step).slice(0, 200)
  if (step.connect) {
    const { since, after } = step.connect
    const query = { since, ...(after !== null && { after }) }
    expect(Object.fromEntries(parts.connect()), stepText).toEqual(query)
  }
  if (step.receive) {
    const text = step.receive.map(({ event, id, data }) => eventText(event, data, id)).join('')
    expect(parts.receive(text), stepText).toBe(step.ends_connection ?? false)
  }
  if (step.rows !== undefined) expect(parts.cache.count(), stepText).toBe(step.rows)
  if (step.age_ms !== undefined) {
    // An unknown age is `null` in feed.json, and `Infinity` in the client.
    expect(parts.ageMs(), stepText).toBe(step.age_ms ?? Number.POSITIVE_INFINITY)
  }
  for (const { user_id, session_id, ...expected } of step.find ?? []) {
    const token = { subject: user_id, sessionId: session_id, loginAt: null }
    const found = toWire(parts.cache.find(token, 'user'))
    expect(found, `${user_id}, ${session_id}, ${stepText}`).toEqual(expected)
  }
  for (const { claims, ...expected } of step.check ?? []) {
    expect(parts.check(claims), `${JSON.stringify(claims)}, ${stepText}`).toMatchObject(expected)
  }
}

describe('the client passes feed.json', () => {
  beforeEach(() => void vi.useFakeTimers())
  afterEach(() => void vi.useRealTimers())

  test.each(cases)('$name', ({ steps }) => {
    vi.setSystemTime(steps[0]?.at ?? '')
    const parts = openFeedParts()
    for (const step of steps) {
      vi.advanceTimersByTime(Date.parse(step.at) - Date.now())
      runStep(parts, step)
    }
    parts.close()
  })
})

describe('the client passes verdicts.json', () => {
  interface Vector {
    name: string
    policy: Policy
    leeway_ms: number
    namespace: string
    known: WireLogouts
    claims: Claims
    outcome: string
    reason: string
  }

  test.each(readVectors('verdicts') as Vector[])('$name', (vector) => {
    const { policy, claims } = vector
    const response = readLastLogoutResponse({ ...vector.known, policy, as_of: null, lag_ms: null })
    if ('invalidField' in response) throw new Error(response.invalidField)
    const token = readToken(claims, claimNames(vector.namespace))
    const options = { policy, leewayMs: vector.leeway_ms }
    const { revoked, reason } = judgeClaims(token, response.knownLogouts, options)
    const outcome = revoked === null ? 'unknown' : revoked ? 'revoked' : 'accepted'
    expect({ outcome, reason }).toEqual({
      outcome: vector.outcome,
      reason: vector.reason,
    })
  })
})

describe('the client and node:crypto pass hashes.json', () => {
  type Vector = Record<'name' | 'key' | 'id' | 'hash', string>

  test.each(readVectors('hashes') as Vector[])('$name', ({ key, id, hash }) => {
    expect(createKeyedHash(key)(id)).toBe(hash)
    expect(createHmac('sha256', key).update(id, 'utf8').digest('hex')).toBe(hash)
  })
})

describe('the client passes event-stream.json', () => {
  interface Vector {
    name: string
    chunks: string[]
    events: { event: string; data: string; id: string | null }[]
  }

  test.each(readVectors('event-stream') as Vector[])('$name', ({ chunks, events }) => {
    const receivedEvents: ServerSentEvent[] = []
    const read = createEventReader((event) => void receivedEvents.push(event))
    for (const chunk of chunks) read(chunk)
    const expectedEvents = events.map(({ event: name, data, id }) => ({ name, data, id }))
    expect(receivedEvents).toEqual(expectedEvents)
  })
})
