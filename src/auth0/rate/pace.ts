import { DEFAULT_WAIT_MS, LONGEST_WAIT_MS } from './limit.js'
import { createBucketModel, createWindowModel } from './models.js'
import { createRequestDebt } from './request-debt.js'
import { createServerClock } from './server-clock.js'

/** To what part of it the refill is found out. */
const PRECISION = 0.01

/** How long requests are put off to learn, in milliseconds, and the part of the time that is added to it. */
const SPARE_MS = 10_000
const SPARE_SHARE = 0.01

/** More than adding up fractions loses. */
const EPSILON = 1e-6

/** What an answer tells of the rate limit, and when. */
interface RateAnswer {
  limit: number
  remaining: number
  /** When all is there again, by the server's clock in milliseconds; `null`: not told. */
  resetAt: number | null
  /** The server's `Date`. */
  dateMs: number
  /** These two by a clock of ours that only ever moves forward. */
  sentAt: number
  receivedAt: number
}

/** When the next request may be sent, by our clock. Reads none itself: time comes as an argument. */
export interface RatePace {
  sent(now: number): void
  answered(answer: RateAnswer): void
  /** No answer came, or a refusal, or one that told nothing of the limit. */
  lost(): void
  readyAt(): number
  /** The part of what we may send at once that is used, at most 1; `null`: not known, as of a window. */
  used(now: number): number | null
}

/**
 * Keeps to our share of what the rate limit supplies. Which model is behind the headers is not
 * documented: a request may be sent when each one that the answers leave possible has room for it.
 *
 * In any time we send at most the share of a bucket's size and the share of its refill, and never
 * leave less than the rest of its size there; a share of less than one request is taken as one.
 * Whatever is told, one request a minute is sent.
 */
export function createRatePace(share: number): RatePace {
  const clock = createServerClock()
  let bucket: ReturnType<typeof createBucketModel> | null = createBucketModel()
  let window: ReturnType<typeof createWindowModel> | null = createWindowModel()
  let last: (RateAnswer & { fullAt: number }) | null = null
  let inFlight = 0
  /** Our requests that our share of the refill has not made up for yet. */
  const debt = createRequestDebt()
  let latency = Number.POSITIVE_INFINITY
  let spare = SPARE_MS
  let ready = Number.NEGATIVE_INFINITY

  function learn(answer: RateAnswer & { resetAt: number }): void {
    const { sentAt, receivedAt } = answer
    const at = { least: clock.read(sentAt).least, most: clock.read(receivedAt).most }
    // A request has just been counted, whatever the answer says.
    const remaining = Math.min(answer.remaining, answer.limit - 1)
    const seen = { ...answer, remaining, at }
    if (bucket?.observe(seen) === false) bucket = null
    if (window?.observe(seen) === false) window = null
    if (bucket !== null || window !== null) return
    // The limit was changed, or a clock set. What it gives at once has been used, as far as we know.
    debt.reset(capacity(answer.limit), receivedAt)
    bucket = createBucketModel()
    window = createWindowModel()
    bucket.observe(seen)
    window.observe(seen)
  }

  const capacity = (limit: number) => Math.max(1, share * limit)

  /** How many requests have to come back before one more leaves the others theirs. */
  const lacking = ({ limit, remaining }: RateAnswer) =>
    Math.min((1 - share) * limit, limit - 1) + 1 - (remaining - inFlight)

  function decide(now: number): void {
    if (last === null) return
    let at = now
    const lacks = lacking(last)
    const refill = bucket?.refill().least ?? 0
    if (bucket !== null && refill > 0) {
      const owed = debt.owed(now, share * refill) + 1 - capacity(last.limit)
      if (owed > EPSILON) at = Math.max(at, now + owed / (share * refill))
      if (lacks > EPSILON)
        at = Math.max(at, Math.min(last.receivedAt + lacks / refill, last.fullAt))
    }
    const heldByWindow = (window !== null || refill === 0) && lacks > EPSILON && last.fullAt > at
    if (heldByWindow) at = last.fullAt
    // Decided again once the answer is there.
    if (inFlight === 0 && at > now) at = sharpen(at, heldByWindow)
    ready = Math.min(at, now + LONGEST_WAIT_MS)
  }

  /**
   * Puts off a request that has to wait anyway to where its answer tells most: what is told in whole
   * seconds tells nothing new at the same place of a second. Each time half of a doubt goes, that of the
   * server's clock or that of the refill.
   */
  function sharpen(at: number, heldByWindow: boolean): number {
    if (last === null || bucket === null) return at
    const { least, most } = bucket.refill()
    if (least === 0) return at
    // The more are missing from the bucket, the less a part of a second is of the time that they take.
    const inRow = Math.floor(Math.min(Math.max(1, share * least * 500), capacity(last.limit)))
    const untilFull = { least: inRow / most, most: inRow / least }
    const doubt = untilFull.most - untilFull.least
    const width = clock.width()
    let later = at
    // A second later no window would end where this bucket is full.
    if (heldByWindow && most <= least * 1.1) later = at + 1000
    else if (most <= least * (1 + PRECISION)) return at
    else if (width > doubt / 2 && width > 4 * latency) later = clock.beforeTick(at, 0)
    else if (doubt > width) later = clock.beforeTick(at, (untilFull.least + untilFull.most) / 2)
    if (later - at > spare) return at
    spare -= later - at
    return later
  }

  return {
    readyAt: () => ready,

    used(now) {
      const refill = bucket?.refill().least ?? 0
      if (last === null || refill === 0) return null
      return Math.min(1, debt.owed(now, share * refill) / capacity(last.limit))
    },

    sent(now) {
      debt.add(now)
      inFlight += 1
      decide(now)
    },

    lost() {
      inFlight = Math.max(0, inFlight - 1)
    },

    answered(answer) {
      const { resetAt, dateMs, sentAt, receivedAt } = answer
      inFlight = Math.max(0, inFlight - 1)
      latency = Math.min(latency, receivedAt - sentAt)
      clock.observe(dateMs, sentAt, receivedAt)
      const overlaps = last !== null && sentAt < last.receivedAt
      if (!overlaps && resetAt !== null) learn({ ...answer, resetAt })
      if (last !== null)
        spare = Math.min(SPARE_MS, spare + SPARE_SHARE * Math.max(0, receivedAt - last.receivedAt))
      const remaining = overlaps
        ? Math.min(answer.remaining, last?.remaining ?? 0)
        : answer.remaining
      // A reset in the past tells nothing; one that is rounded down can be that.
      const now = clock.read(sentAt).least
      const fullAt =
        resetAt !== null && resetAt > now ? clock.reaches(resetAt) : sentAt + DEFAULT_WAIT_MS
      last = { ...answer, remaining, fullAt }
      decide(receivedAt)
    },
  }
}
