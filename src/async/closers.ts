/** A stack of cleanup functions. */
export interface Closers {
  push(close: () => Promise<void>): void
  /**
   * Runs each cleanup function once, in reverse order of `push`. All functions run, even if some of them fail. Throws
   * the first failure at the end.
   */
  close(): Promise<void>
}

/** Creates an empty stack. */
export function createClosers(): Closers {
  const stack: (() => Promise<void>)[] = []
  let closing: Promise<void> | undefined
  const closeAll = async () => {
    const failures: unknown[] = []
    for (const close of stack.reverse()) await close().catch((error) => failures.push(error))
    if (failures.length > 0) throw failures[0]
  }
  return {
    push: (close) => void stack.push(close),
    close: () => {
      closing ??= closeAll()
      return closing
    },
  }
}
