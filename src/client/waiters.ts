/** Those who wait for something that may fail, and be waited for again. */
export interface Waiters {
  wait(): Promise<void>
  resolve(): void
  reject(error: Error): void
}

/** Nobody waits yet. A failure that nobody waits for is no unhandled rejection. */
export function createWaiters(): Waiters {
  let waiting: { resolve: () => void; reject: (error: Error) => void }[] = []
  const settle = (how: (waiter: (typeof waiting)[number]) => void) => {
    const settled = waiting
    waiting = []
    for (const waiter of settled) how(waiter)
  }
  return {
    wait: () => new Promise((resolve, reject) => void waiting.push({ resolve, reject })),
    resolve: () => settle(({ resolve }) => resolve()),
    reject: (error) => settle(({ reject }) => reject(error)),
  }
}
