import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createDelayEstimator, type Delivery } from '../../src/client/delivery-delay.js'

const NOON = Date.parse('2026-11-23T12:00:00Z')
const HOUR_MS = 3_600_000

/** What happens to an event. The client does not know all of this. Times in milliseconds. */
interface Event {
  /** The time from the previous event of the connection, or from the request, until the event is sent. */
  afterMs: number
  lagMs: number
  /** How far `as_of` is ahead of the service's clock. Used only if `lagMs` is 0. */
  aheadMs: number
  /** The time from sending until receipt. An earlier event that is still on its way can delay the event further. */
  delayMs: number
}

interface Connection {
  events: Event[]
  /** How far the client's clock is ahead of the service's clock. */
  offsetMs: number
}

interface Estimate {
  estimatedMs: number
  trueMs: number
  sinceRequestMs: number
  lagMs: number
}

/** Delivers the events of each connection in order, one connection after the other. */
function deliver(connections: Connection[]): Estimate[][] {
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

const event = (overrides: Partial<Event> = {}): Event => ({
  afterMs: 4_000,
  lagMs: 800,
  aheadMs: 0,
  delayMs: 0,
  ...overrides,
})
const estimates = (...connections: Connection[]) =>
  deliver(connections).map((connection) => connection.map(({ estimatedMs }) => estimatedMs))

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
    'the estimate is the time that an event was delayed, if the clocks differ by %i ms',
    (offsetMs) => {
      const events = [event(), event({ delayMs: 90_000 }), event({ delayMs: 20 }), event()]
      // The second event delays the third and the fourth.
      expect(estimates({ offsetMs, events })).toEqual([[0, 90_000, 86_000, 82_000]])
    },
  )

  test('the estimate does not depend on a constant offset between the clocks', () => {
    fc.assert(
      fc.property(fc.array(events(anyLag), { maxLength: 4 }), offset, (all, offsetMs) => {
        const estimatesWith = (offsetMs: number) =>
          estimates(...all.map((events): Connection => ({ events, offsetMs })))
        expect(estimatesWith(offsetMs)).toEqual(estimatesWith(0))
      }),
    )
  })

  test('the estimate is the true delay minus the delay of the fastest event so far', () => {
    fc.assert(
      fc.property(events(someLag), offset, (all, offsetMs) => {
        let minDelayMs = Number.POSITIVE_INFINITY
        for (const { estimatedMs, trueMs } of deliver([{ events: all, offsetMs }]).flat()) {
          minDelayMs = Math.min(minDelayMs, trueMs)
          expect(estimatedMs).toBe(trueMs - minDelayMs)
        }
      }),
    )
  })

  test('the estimate is too low by at most the smallest delay plus two minutes if `as_of` may be a minute ahead', () => {
    fc.assert(
      fc.property(events(anyLag), offset, (all, offsetMs) => {
        let minDelayMs = Number.POSITIVE_INFINITY
        for (const { estimatedMs, trueMs } of deliver([{ events: all, offsetMs }]).flat()) {
          minDelayMs = Math.min(minDelayMs, trueMs)
          expect(estimatedMs).toBeLessThanOrEqual(trueMs)
          expect(estimatedMs).toBeGreaterThanOrEqual(trueMs - minDelayMs - 2 * 60_000)
        }
      }),
    )
  })

  test('the estimate shows a delay of more than two minutes even if every `lag_ms` is 0', () => {
    const events = [event({ lagMs: 0, aheadMs: 30_000 }), event({ lagMs: 0, delayMs: HOUR_MS })]
    const [[, late = 0] = []] = estimates({ offsetMs: 0, events })
    expect(late).toBeGreaterThan(HOUR_MS - 120_000)
  })

  test('the estimate is zero for events without a delay after an `as_of` that was ahead', () => {
    const events = [event({ lagMs: 0, aheadMs: 60_000 }), event({ lagMs: 1 }), event()]
    expect(estimates({ offsetMs: 0, events })).toEqual([[0, 0, 0]])
  })

  test('the estimate of the next connection ignores that the client clock was set ahead', () => {
    const before = { offsetMs: 0, events: [event(), event()] }
    const after = { offsetMs: HOUR_MS, events: [event({ afterMs: 30 }), event()] }
    // The event arrived 30 ms after the request. This is the upper bound of its delay.
    expect(estimates(before, after)).toEqual([
      [0, 0],
      [30, 30],
    ])
  })

  test('the estimate is correct from the first event after the client clock was set back', () => {
    const before = { offsetMs: 0, events: [event()] }
    const after = { offsetMs: -HOUR_MS, events: [event(), event({ delayMs: 5_000 })] }
    expect(estimates(before, after)).toEqual([[0], [0, 5_000]])
  })

  test('the estimate for the first event of a connection is at most the age of the connection', () => {
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
