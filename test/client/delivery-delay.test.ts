import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createDelayEstimator, type Delivery } from '../../src/client/delivery-delay.js'
import { readExample } from '../_support/documents.js'

const NOON = Date.parse('2026-11-23T12:00:00Z')
const HOUR_MS = 3_600_000
const TEN_YEARS_MS = 3_650 * 24 * HOUR_MS

/** A freshness event and its true delay, which the client does not know. Times in milliseconds. */
interface Event {
  /** The time from the previous event, or from the request, until the event is sent. */
  afterMs: number
  /** The age of `as_of`, up to which the service has read the log. */
  lagMs: number
  /** How far `as_of` is ahead of the service's clock. Used only if `lagMs` is 0. */
  aheadMs: number
  /** The time from sending until receipt. A delayed earlier event also delays this event. */
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

/** Passes the events of each connection to an estimator, in order. Returns an estimate for each event. */
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
/** Returns the estimated delays of the events, for each connection. */
const estimates = (...connections: Connection[]) =>
  deliver(connections).map((connection) => connection.map(({ estimatedMs }) => estimatedMs))

const anyEvents = (lagMs: fc.Arbitrary<number>) =>
  fc.array(
    fc.record({
      afterMs: fc.integer({ min: 0, max: 5_000 }),
      lagMs,
      aheadMs: fc.integer({ min: 0, max: 60_000 }),
      delayMs: fc.oneof(fc.integer({ min: 0, max: 50 }), fc.integer({ min: 0, max: HOUR_MS })),
    }),
    { minLength: 1, maxLength: 20 },
  )
const positiveLag = fc.integer({ min: 1, max: 200_000 })
const anyLag = fc.oneof(fc.constant(0), positiveLag)
const anyOffset = fc.integer({ min: -1e12, max: 1e12 })

describe('the estimated delay of delivery', () => {
  test.each([0, -HOUR_MS, HOUR_MS, TEN_YEARS_MS])(
    'the estimate is the delay of the event, even if the clocks differ by %i ms',
    (offsetMs) => {
      const events = [event(), event({ delayMs: 90_000 }), event({ delayMs: 20 }), event()]
      // The second event arrives 90 s late. The third and the fourth, sent 4 s and 8 s later, cannot overtake it.
      expect(estimates({ offsetMs, events })).toEqual([[0, 90_000, 86_000, 82_000]])
    },
  )

  test('the estimate does not depend on a constant offset between the clocks', () => {
    fc.assert(
      fc.property(
        fc.array(anyEvents(anyLag), { maxLength: 4 }),
        anyOffset,
        (eventLists, offsetMs) => {
          const estimatesWith = (offsetMs: number) =>
            estimates(...eventLists.map((events): Connection => ({ events, offsetMs })))
          expect(estimatesWith(offsetMs)).toEqual(estimatesWith(0))
        },
      ),
    )
  })

  test('the estimate is the true delay minus the delay of the fastest event so far', () => {
    fc.assert(
      fc.property(anyEvents(positiveLag), anyOffset, (events, offsetMs) => {
        let minDelayMs = Number.POSITIVE_INFINITY
        for (const { estimatedMs, trueMs } of deliver([{ events, offsetMs }]).flat()) {
          minDelayMs = Math.min(minDelayMs, trueMs)
          expect(estimatedMs).toBe(trueMs - minDelayMs)
        }
      }),
    )
  })

  test('if `as_of` may be a minute ahead, the estimate is too low by at most the smallest delay plus two minutes', () => {
    fc.assert(
      fc.property(anyEvents(anyLag), anyOffset, (events, offsetMs) => {
        let minDelayMs = Number.POSITIVE_INFINITY
        for (const { estimatedMs, trueMs } of deliver([{ events, offsetMs }]).flat()) {
          minDelayMs = Math.min(minDelayMs, trueMs)
          expect(estimatedMs).toBeLessThanOrEqual(trueMs)
          // The `as_of` of this event and the one of the fastest event may each be a minute ahead.
          expect(estimatedMs).toBeGreaterThanOrEqual(trueMs - minDelayMs - 2 * 60_000)
        }
      }),
    )
  })

  test('the estimate shows a delay of more than two minutes even if every `lag_ms` is 0', () => {
    const events = [event({ lagMs: 0, aheadMs: 30_000 }), event({ lagMs: 0, delayMs: HOUR_MS })]
    const [[, estimatedMs = 0] = []] = estimates({ offsetMs: 0, events })
    expect(estimatedMs).toBeGreaterThan(HOUR_MS - 120_000)
  })

  test('after an `as_of` that was ahead, the estimate for events without a delay is zero', () => {
    const events = [event({ lagMs: 0, aheadMs: 60_000 }), event({ lagMs: 1 }), event()]
    expect(estimates({ offsetMs: 0, events })).toEqual([[0, 0, 0]])
  })

  test('after the client clock was set ahead, the estimate is nearly correct from the next connection on', () => {
    const firstConnection = { offsetMs: 0, events: [event(), event()] }
    const nextConnection = { offsetMs: HOUR_MS, events: [event({ afterMs: 30 }), event()] }
    // The first event arrived 30 ms after the request, so its delay can be at most 30 ms.
    expect(estimates(firstConnection, nextConnection)).toEqual([
      [0, 0],
      [30, 30],
    ])
  })

  test('after the client clock was set back, the estimate is correct from the first event on', () => {
    const firstConnection = { offsetMs: 0, events: [event()] }
    const nextConnection = { offsetMs: -HOUR_MS, events: [event(), event({ delayMs: 5_000 })] }
    expect(estimates(firstConnection, nextConnection)).toEqual([[0], [0, 5_000]])
  })

  test('the estimate for the first event of a connection is at most the age of the connection', () => {
    const anyConnection = fc.record({ events: anyEvents(anyLag), offsetMs: anyOffset })
    const anyConnections = fc.array(anyConnection, { minLength: 1, maxLength: 6 })
    fc.assert(
      fc.property(anyConnections, (connections) => {
        for (const [first] of deliver(connections)) {
          expect(first?.estimatedMs).toBeLessThanOrEqual(first?.sinceRequestMs ?? Number.NaN)
        }
      }),
    )
  })
})

test('the formula in docs/feed.md returns the estimated delay', async () => {
  const formula = (await readExample('docs/feed.md', 'Age', ''))
    .replaceAll('−', '-')
    .replaceAll('infinity', 'Infinity')
    .replace('first freshness of this connection', 'isFirst')
    .replace('time since the request', 'sinceRequest')
  const evaluate = new Function(
    ...['offset', 'received_at', 'as_of', 'lag_ms', 'isFirst', 'sinceRequest'],
    `const { min, max } = Math; let difference, upper, lower, delay;\n${formula}; return [offset, delay]`,
  )
  const times = fc.integer({ min: 0, max: HOUR_MS })
  const delivery = fc.record({
    asOf: times,
    lagMs: fc.oneof(fc.constant(0), times),
    receivedAt: times,
    isFirst: fc.boolean(),
    sinceRequestMs: times,
  })
  fc.assert(
    fc.property(fc.array(delivery, { minLength: 1, maxLength: 10 }), (deliveries) => {
      const estimate = createDelayEstimator()
      let offset = Number.POSITIVE_INFINITY
      for (const { isFirst, sinceRequestMs, ...delivery } of deliveries) {
        const maxDelayMs = isFirst ? sinceRequestMs : Number.POSITIVE_INFINITY
        const { receivedAt, asOf, lagMs } = delivery
        const [nextOffset, delay] = evaluate(
          offset,
          receivedAt,
          asOf,
          lagMs,
          isFirst,
          sinceRequestMs,
        )
        expect(delay).toBe(estimate({ ...delivery, maxDelayMs }))
        offset = nextOffset
      }
    }),
  )
})
