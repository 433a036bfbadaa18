/** More would only say in more words that we are at our limit. */
const KEPT = 1000

/** Requests that were sent, paid off at a steady rate. */
export interface RequestDebt {
  add(now: number): void
  /** What is not paid off, if the rate has been this one all the time: it may be known too late. */
  owed(now: number, perMs: number): number
  /** Forgets all, and owes this. */
  reset(debt: number, now: number): void
}

/** Owes nothing. Time comes as an argument. */
export function createRequestDebt(): RequestDebt {
  let base = { debt: 0, at: 0 }
  let sends: number[] = []

  const payOff = (from: typeof base, now: number, perMs: number) =>
    now > from.at ? { debt: Math.max(0, from.debt - perMs * (now - from.at)), at: now } : from

  function fold(count: number, perMs: number): typeof base {
    return sends.slice(0, count).reduce((from, at) => {
      const { debt } = payOff(from, at, perMs)
      return { debt: debt + 1, at }
    }, base)
  }

  return {
    add: (now) => void sends.push(now),
    owed(now, perMs) {
      if (sends.length > KEPT) {
        base = fold(KEPT / 2, perMs)
        sends = sends.slice(KEPT / 2)
      }
      return payOff(fold(sends.length, perMs), now, perMs).debt
    },
    reset(debt, at) {
      base = { debt, at }
      sends = []
    },
  }
}
