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

/** What was owed at an instant. */
interface Balance {
  debt: number
  at: number
}

/** Owes nothing. Time comes as an argument. */
export function createRequestDebt(): RequestDebt {
  let base: Balance = { debt: 0, at: 0 }
  let sends: number[] = []
  /** The balance after the first `count` sends, valid while the rate is this one. */
  let folded = { perMs: Number.NaN, count: 0, balance: base }

  const payOff = (from: Balance, now: number, perMs: number) =>
    now > from.at ? { debt: Math.max(0, from.debt - perMs * (now - from.at)), at: now } : from

  function fold(from: Balance, times: number[], perMs: number): Balance {
    return times.reduce((balance, at) => {
      const { debt } = payOff(balance, at, perMs)
      return { debt: debt + 1, at }
    }, from)
  }

  return {
    add: (now) => void sends.push(now),
    owed(now, perMs) {
      if (perMs !== folded.perMs) folded = { perMs, count: 0, balance: base }
      const balance = fold(folded.balance, sends.slice(folded.count), perMs)
      if (sends.length > KEPT) {
        base = fold(base, sends.slice(0, KEPT / 2), perMs)
        sends = sends.slice(KEPT / 2)
      }
      folded = { perMs, count: sends.length, balance }
      return payOff(balance, now, perMs).debt
    },
    reset(debt, at) {
      base = { debt, at }
      sends = []
      folded = { perMs: Number.NaN, count: 0, balance: base }
    },
  }
}
