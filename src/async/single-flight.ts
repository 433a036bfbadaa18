/** Shares a running call of `run`: calls made in the meantime receive the same result. Nothing is cached afterwards. */
export function singleFlight<T>(run: () => Promise<T>): () => Promise<T> {
  let running: Promise<T> | undefined
  return () => {
    running ??= run().finally(() => {
      running = undefined
    })
    return running
  }
}
