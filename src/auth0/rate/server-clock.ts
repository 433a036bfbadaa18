/** What is known to lie between the two. */
export interface Bounds {
  least: number
  most: number
}

/** How far two clocks may run apart, per millisecond: ten times what is usual. */
const DRIFT = 1e-4

/** What the server's clock shows at an instant of ours, by answers that tell whole seconds. */
export interface ServerClock {
  /** `dateMs`: the answer's `Date`; the other two by our clock, which only ever moves forward. */
  observe(dateMs: number, sentAt: number, receivedAt: number): void
  read(at: number): Bounds
  /** When, by our clock, the server's surely shows this. */
  reaches(serverMs: number): number
  /** How much is not known, in milliseconds. */
  width(): number
  /** Where the server's clock shows a whole second `aheadMs` later, as far as known: at this or soon after. */
  beforeTick(at: number, aheadMs: number): number
}

/** Each answer bounds the difference of the clocks to a second and its latency; together they narrow it. */
export function createServerClock(): ServerClock {
  let offset: Bounds = { least: Number.NEGATIVE_INFINITY, most: Number.POSITIVE_INFINITY }
  let observedAt = 0
  const read = (at: number) => ({ least: at + offset.least, most: at + offset.most })

  return {
    observe(dateMs, sentAt, receivedAt) {
      const seen = { least: dateMs - receivedAt, most: dateMs + 1000 - sentAt }
      const drift = Math.max(receivedAt - observedAt, 0) * DRIFT
      const least = Math.max(seen.least, offset.least - drift)
      const most = Math.min(seen.most, offset.most + drift)
      // One of the clocks was set: what was known before is worth nothing.
      offset = least <= most ? { least, most } : seen
      observedAt = receivedAt
    },
    read,
    reaches: (serverMs) => serverMs - offset.least,
    width: () => offset.most - offset.least,
    beforeTick(at, aheadMs) {
      const { least, most } = read(at)
      const phase = ((least + most) / 2 + aheadMs) % 1000
      return phase === 0 ? at : at + 1000 - phase
    },
  }
}
