import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { createEventReader } from '../../src/client/event-stream.js'
import { createFeedReader, type FeedEvent, readFeedEvent } from '../../src/client/feed-events.js'
import { createLogoutListeners } from '../../src/client/logout-listeners.js'
import { createPageFormatter } from '../../src/http/event-stream.js'
import type { Change } from '../../src/rules/change-feed.js'

const AT = '2026-11-23T10:00:00.123Z'
const AT_MS = Date.parse(AT)
const USER = { kind: 'user', user_id: 'auth0|1', at: AT, all_sessions_at: null, type: 'slo' }
const SESSION = { kind: 'session', session_id: 'S1', user_id: null, at: AT, ended: true }

const FORGOTTEN_USER = {
  kind: 'forgotten_user',
  key: 'K',
  user_hash: 'H',
  at: AT,
  all_sessions_at: null,
}
const FORGOTTEN_SESSION = {
  kind: 'forgotten_session',
  key: 'K',
  session_hash: 'H',
  at: AT,
  ended: true,
}

/** Reads an event. Its id is the cursor of the feed. */
const read = (name: string, data: object, id: string | null = 'f.1') =>
  readFeedEvent({ name, data: JSON.stringify(data), id })

describe('an event of the change feed', () => {
  test.each([
    ['user', USER, { kind: 'user', userId: 'auth0|1', at: AT_MS, allSessionsAt: null }],
    [
      'user, with a logout of all sessions',
      { ...USER, all_sessions_at: AT },
      { kind: 'user', userId: 'auth0|1', at: AT_MS, allSessionsAt: AT_MS },
    ],
    [
      'session',
      SESSION,
      { kind: 'session', sessionId: 'S1', userId: null, at: AT_MS, ended: true },
    ],
    [
      'session, with the user of the session',
      { ...SESSION, user_id: 'auth0|1' },
      { kind: 'session', sessionId: 'S1', userId: 'auth0|1', at: AT_MS, ended: true },
    ],
    ['floor', { kind: 'floor', at: AT }, { kind: 'floor', at: AT_MS }],
    [
      'forgotten_user',
      FORGOTTEN_USER,
      { kind: 'forgotten_user', key: 'K', userHash: 'H', at: AT_MS, allSessionsAt: null },
    ],
    [
      'forgotten_session',
      FORGOTTEN_SESSION,
      { kind: 'forgotten_session', key: 'K', sessionHash: 'H', at: AT_MS, ended: true },
    ],
  ])('readFeedEvent reads a change of kind %s', (_kind, data, change) => {
    expect(read('change', data)).toEqual({ kind: 'change', change, cursor: 'f.1' })
  })

  test('an event without an id has no cursor', () => {
    expect(read('change', USER, null).cursor).toBeNull()
  })

  test('readFeedEvent reads a reset, whose empty id is not a cursor', () => {
    expect(read('reset', {}, '')).toEqual({ kind: 'reset', cursor: null })
  })

  test('readFeedEvent reads a freshness event', () => {
    expect(read('freshness', { as_of: AT, lag_ms: 800, policy: 'user' })).toEqual({
      kind: 'freshness',
      freshness: { asOf: AT_MS, lagMs: 800, policy: 'user' },
      cursor: 'f.1',
    })
  })

  test.each([
    ['event', 'notice', {}],
    ['kind of change', 'change', { kind: 'client', at: AT }],
  ])(
    'readFeedEvent returns the kind `other` and the cursor for an unknown %s',
    (_case, name, data) => {
      expect(read(name, data)).toEqual({ kind: 'other', cursor: 'f.1' })
    },
  )

  test.each<[string, string, object]>([
    ['user_id', 'change', { ...USER, user_id: 4711 }],
    ['session_id', 'change', { ...SESSION, session_id: undefined }],
    ['at', 'change', { ...USER, at: 'never' }],
    ['at', 'change', { kind: 'floor' }],
    ['all_sessions_at', 'change', { ...USER, all_sessions_at: undefined }],
    ['key', 'change', { ...FORGOTTEN_USER, key: null }],
    ['user_hash', 'change', { ...FORGOTTEN_USER, user_hash: 1 }],
    ['session_hash', 'change', { ...FORGOTTEN_SESSION, session_hash: undefined }],
    ['policy', 'freshness', { as_of: AT, lag_ms: 0 }],
    ['as_of', 'freshness', { as_of: 'never', lag_ms: 0, policy: 'user' }],
  ])('the error for an event with a malformed %s names the field', (field, name, data) => {
    expect(() => read(name, data)).toThrow(
      expect.objectContaining({
        code: 'NOT_UNDERSTOOD',
        message: expect.stringContaining(
          `event in which the field ${field} is missing or malformed: `,
        ),
      }),
    )
  })

  test('the error for an event that is not JSON does not contain the data of the event', () => {
    const data = '{"user_id":"auth0|1"'
    expect(() => readFeedEvent({ name: 'change', data, id: null })).toThrow(
      expect.objectContaining({
        code: 'NOT_UNDERSTOOD',
        message: expect.not.stringContaining('auth0'),
      }),
    )
  })
})

describe('the stream of the change feed', () => {
  /** Formats a page of the change feed as the service does. */
  function formatPage(changes: Change[]): string {
    const page = { changes, cursor: 'f.1', asOf: AT_MS, now: AT_MS, more: false }
    return createPageFormatter('session')(page).toString()
  }

  const userChange: Change = {
    kind: 'user',
    userId: 'auth0|1',
    at: AT_MS,
    allSessionsAt: null,
    type: 'slo',
  }
  const sessionChange: Change = {
    kind: 'session',
    sessionId: 'S1',
    userId: 'auth0|1',
    at: AT_MS,
    ended: true,
    type: 'slo',
  }
  const userEvent = formatPage([userChange])
  const sessionEvent = formatPage([sessionChange])

  function readStream(pieces: string[]): FeedEvent[] {
    const events: FeedEvent[] = []
    const read = createFeedReader((event) => void events.push(event))
    for (const piece of pieces) read(piece)
    return events
  }

  const at = fc.integer({ min: Date.UTC(2000, 0, 1), max: Date.UTC(2199, 11, 31) })
  // Many of these ids contain quotes or escapes.
  const text = fc.oneof(
    fc.string({ unit: 'grapheme' }),
    fc.string({ unit: fc.constantFrom(...'"\\\n,:{}u') }),
  )
  const nullable = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: null })
  const type = fc.constantFrom('slo', 'api', 'a"b', 'c\\d')
  const change: fc.Arbitrary<Change> = fc.oneof(
    fc.record({
      kind: fc.constant('user' as const),
      userId: text,
      at,
      allSessionsAt: nullable(at),
      type,
    }),
    fc.record({
      kind: fc.constant('session' as const),
      sessionId: text,
      userId: nullable(text),
      at,
      ended: fc.boolean(),
      type,
    }),
    fc.record({ kind: fc.constant('floor' as const), at }),
  )

  test('createFeedReader reads the events of the service as readFeedEvent does, wherever the stream is cut', () => {
    const cuts = fc.array(fc.nat(2_000))
    fc.assert(
      fc.property(fc.array(change), cuts, (changes, positions) => {
        const stream = formatPage(changes)
        const ends = [...positions.sort((a, b) => a - b), stream.length]
        const pieces = ends.map((end, i) => stream.slice(i === 0 ? 0 : ends[i - 1], end))
        const expectedEvents: FeedEvent[] = []
        createEventReader((event) => void expectedEvents.push(readFeedEvent(event)))(stream)
        expect(expectedEvents).toHaveLength(changes.length + 1)
        expect(readStream(pieces)).toEqual(expectedEvents)
      }),
      { numRuns: 2_000 },
    )
  })

  test('createFeedReader reads the usual changes of a load without JSON.parse, which takes longer', () => {
    const allSessionsAt = AT_MS - 1
    const usualChanges: Change[] = [
      userChange,
      { ...userChange, userId: 'Zoë | ü@例.example', allSessionsAt },
      sessionChange,
      { ...sessionChange, sessionId: 'S2', userId: null, ended: false },
    ]
    const stream = formatPage(usualChanges)
    const parseJson = vi.spyOn(JSON, 'parse')
    onTestFinished(() => parseJson.mockRestore())
    const events = readStream([stream])
    // The freshness event at the end of the page is JSON.
    expect(parseJson).toHaveBeenCalledTimes(1)
    expect(events).toHaveLength(usualChanges.length + 1)
    expect(events[1]).toEqual({
      kind: 'change',
      change: { kind: 'user', userId: 'Zoë | ü@例.example', at: AT_MS, allSessionsAt },
      cursor: null,
    })
    expect(events[3]).toEqual({
      kind: 'change',
      change: { kind: 'session', sessionId: 'S2', userId: null, at: AT_MS, ended: false },
      cursor: 'f.1',
    })
  })

  test.each([
    ['a control character in an id', userEvent.replace('auth0|1', 'auth0\t1')],
    ['a control character in the type', userEvent.replace('slo', 's\to')],
    ['an incomplete escape', sessionEvent.replace('S1', 'S\\u00')],
    ['no type', sessionEvent.replace(',"type":"slo"', '')],
    ['a further field', userEvent.replace('"type"', '"ip":"::1","type"')],
    [
      'another order of fields',
      userEvent.replace('"kind":"user",', '').replace('}', ',"kind":"user"}'),
    ],
    ['an empty id', userEvent.replace('id: f.1', 'id:')],
    ['the id after the data', sessionEvent.replace(/(id: f\.1\n)(data: .*\n)/, '$2$1')],
    ['data in two lines', userEvent.replace('"at":', '"at":\ndata: ')],
    ['a further line', sessionEvent.replace('data: ', ': comment\ndata: ')],
    ['another name', userEvent.replace('event: change', 'event: changed')],
    ['no user_id', sessionEvent.replace('"auth0|1"', 'null')],
    ['a number as user_id', userEvent.replace('"auth0|1"', '1')],
    ['a number as at', sessionEvent.replace(`"${AT}"`, '1')],
    ['another value of ended', sessionEvent.replace('"ended":true', '"ended":1')],
  ])('createFeedReader reads an event with %s as readFeedEvent does', (_case, stream) => {
    const readGenerally = () => {
      const events: FeedEvent[] = []
      createEventReader((event) => void events.push(readFeedEvent(event)))(stream)
      return events
    }
    const resultOf = (read: () => FeedEvent[]) => {
      try {
        return read()
      } catch (error) {
        return String(error)
      }
    }
    expect(resultOf(() => readStream([stream]))).toEqual(resultOf(readGenerally))
  })

  test('a listener that keeps an id does not keep the piece of the stream in memory', () => {
    setFlagsFromString('--expose-gc')
    const collectGarbage: () => void = runInNewContext('gc')
    const measureHeap = () => {
      collectGarbage()
      return process.memoryUsage().heapUsed
    }
    const listeners = createLogoutListeners(undefined)
    const keptIds: string[] = []
    listeners.add((logout) => void (logout.kind === 'user' && keptIds.push(logout.userId)))
    const read = createFeedReader((event) => {
      if (event.kind === 'change') listeners.notify(event.change)
    })
    const comment = `: ${'x'.repeat(100_000)}\n\n`
    const heapBefore = measureHeap()
    for (let n = 0; n < 100; n++)
      read(userEvent.replace('auth0|1', `auth0|${'7'.repeat(24)}${n}`) + comment)
    expect(keptIds).toHaveLength(100)
    // The pieces have ten million characters.
    expect(measureHeap() - heapBefore).toBeLessThan(2_000_000)
  })

  test('the error of createFeedReader for a malformed instant names the field', () => {
    const stream = userEvent.replace(AT, '2026-11-23 10:00')
    expect(() => readStream([stream])).toThrow(
      'event in which the field at is missing or malformed',
    )
  })
})
