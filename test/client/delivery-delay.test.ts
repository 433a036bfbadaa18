import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createDelayEstimator, type Delivery } from '../../src/client/delivery-delay.js'

const NOON = Date.parse('2026-11-23T12:00:00Z')
const HOUR_MS = 3_600_000

/** An event as it really was; times in milliseconds. */
interface Event {
  /** Since the event before it, or since the request. */
  afterMs: number
  lagMs: number
  /** How far `as_of` is ahead of the service's clock where `lagMs` is 0. */
  aheadMs: number
  delayMs: number
}

interface Connection {
  events: Event[]
  /** What the client's clock is ahead of the service's. */
  offsetMs: number
}

interface Judged {
  estimatedMs: number
  trueMs: number
  sinceRequestMs: number
  lagMs: number
}

/** Delivers the events of one connection after the other, each connection's in their order. */
function deliver(connections: Connection[]): Judged[][] {
  const estimate = createDelayEstimator()
  let trueNow = NOON
  return connections.map(({ events, offsetMs }) => {
    const requestedAt = trueNow
    let sentAt = requestedAt
    return events.map(({ afterMs, lagMs, aheadMs, delayMs }, i) => {
      sentAt += afterMs
      trueNow = Math.max(trueNow, sentAt + delayMs)
      const sinceRequestMs = trueNow - requestedAt
      const delivery: Delivery = {
        asOf: sentAt - lagMs + (lagMs === 0 ? aheadMs : 0),
        lagMs,
        receivedAt: trueNow + offsetMs,
        maxDelayMs: i === 0 ? sinceRequestMs : Number.POSITIVE_INFINITY,
      }
      return { estimatedMs: estimate(delivery), trueMs: trueNow - sentAt, sinceRequestMs, lagMs }
    })
  })
}

const event = (over: Partial<Event> = {}): Event => ({
  afterMs: 4_000,
  lagMs: 800,
  aheadMs: 0,
  delayMs: 0,
  ...over,
})
const estimates = (...connections: Connection[]) =>
  deliver(connections).map((judged) => judged.map(({ estimatedMs }) => estimatedMs))

const events = (lag: fc.Arbitrary<number>) =>
  fc.array(
    fc.record({
      afterMs: fc.integer({ min: 0, max: 5_000 }),
      lagMs: lag,
      aheadMs: fc.integer({ min: 0, max: 60_000 }),
      delayMs: fc.oneof(fc.integer({ min: 0, max: 50 }), fc.integer({ min: 0, max: HOUR_MS })),
    }),
    { minLength: 1, maxLength: 20 },
  )
const someLag = fc.integer({ min: 1, max: 200_000 })
const anyLag = fc.oneof(fc.constant(0), someLag)
const offset = fc.integer({ min: -1e12, max: 1e12 })

describe('the estimated delay of delivery', () => {
  test.each([0, -HOUR_MS, HOUR_MS, 3_650 * 24 * HOUR_MS])(
    'is what an event was held back, with a client clock that is off by %i ms',
    (offsetMs) => {
      const events = [event(), event({ delayMs: 90_000 }), event({ delayMs: 20 }), event()]
      // The third is held back by the one before it.
      expect(estimates({ offsetMs, events })).toEqual([[0, 90_000, 86_000, 82_000]])
    },
  )

  test('does not depend on a constant offset between the clocks, whatever it is', () => {
    fc.assert(
      fc.property(fc.array(events(anyLag), { maxLength: 4 }), offset, (all, offsetMs) => {
        const at = (ms: number) =>
          estimates(...all.map((events): Connection => ({ events, offsetMs: ms })))
        expect(at(offsetMs)).toEqual(at(0))
      }),
    )
  })

  test('is exact once an event has come at once, and never more than the true delay', () => {
    fc.assert(
      fc.property(events(someLag), offset, (all, offsetMs) => {
        let quickestMs = Number.POSITIVE_INFINITY
        for (const { estimatedMs, trueMs } of deliver([{ events: all, offsetMs }]).flat()) {
          quickestMs = Math.min(quickestMs, trueMs)
          expect(estimatedMs).toBe(trueMs - quickestMs)
        }
      }),
    )
  })

  test('is too low by at most the quickest delay and two minutes where `as_of` may be a minute ahead', () => {
    fc.assert(
      fc.property(events(anyLag), offset, (all, offsetMs) => {
        let quickestMs = Number.POSITIVE_INFINITY
        for (const { estimatedMs, trueMs } of deliver([{ events: all, offsetMs }]).flat()) {
          quickestMs = Math.min(quickestMs, trueMs)
          expect(estimatedMs).toBeLessThanOrEqual(trueMs)
          expect(estimatedMs).toBeGreaterThanOrEqual(trueMs - quickestMs - 2 * 60_000)
        }
      }),
    )
  })

  test('shows a delay of more than two minutes although every `lag_ms` is 0', () => {
    const events = [event({ lagMs: 0, aheadMs: 30_000 }), event({ lagMs: 0, delayMs: HOUR_MS })]
    const [[, late = 0] = []] = estimates({ offsetMs: 0, events })
    expect(late).toBeGreaterThan(HOUR_MS - 120_000)
  })

  test('an `as_of` that is ahead does not make later events look late', () => {
    const events = [event({ lagMs: 0, aheadMs: 60_000 }), event({ lagMs: 1 }), event()]
    expect(estimates({ offsetMs: 0, events })).toEqual([[0, 0, 0]])
  })

  test('a client clock that is set ahead makes events look late until the next connection', () => {
    const before = { offsetMs: 0, events: [event(), event()] }
    const after = { offsetMs: HOUR_MS, events: [event({ afterMs: 30 }), event()] }
    // As late as it can be at most: 30 ms after the request.
    expect(estimates(before, after)).toEqual([
      [0, 0],
      [30, 30],
    ])
  })

  test('a client clock that is set back heals at the next event', () => {
    const before = { offsetMs: 0, events: [event()] }
    const after = { offsetMs: -HOUR_MS, events: [event(), event({ delayMs: 5_000 })] }
    expect(estimates(before, after)).toEqual([[0], [0, 5_000]])
  })

  test('the first event of a connection is never estimated later than the connection is old', () => {
    const connections = fc.array(fc.record({ events: events(anyLag), offsetMs: offset }), {
      minLength: 1,
      maxLength: 6,
    })
    fc.assert(
      fc.property(connections, (all) => {
        for (const [first] of deliver(all)) {
          expect(first?.estimatedMs).toBeLessThanOrEqual(first?.sinceRequestMs ?? Number.NaN)
        }
      }),
    )
  })
})
