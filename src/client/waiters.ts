/** Callers that wait for an event. */
export interface Waiters {
  /** Settles at the next call of `resolve` or `reject`. */
  wait(): Promise<void>
  resolve(): void
  reject(error: Error): void
}

/** Creates an empty list of callers. Without a pending caller, `reject` causes no unhandled rejection. */
export function createWaiters(): Waiters {
  let pending: { resolve: () => void; reject: (error: Error) => void }[] = []
  const settle = (settleOne: (waiter: (typeof pending)[number]) => void) => {
    const settled = pending
    pending = []
    for (const waiter of settled) settleOne(waiter)
  }
  return {
    wait: () => new Promise((resolve, reject) => void pending.push({ resolve, reject })),
    resolve: () => settle(({ resolve }) => resolve()),
    reject: (error) => settle(({ reject }) => reject(error)),
  }
}
