/** Returns a function that calls `run`. While a call of `run` is in progress, further calls share its result. */
export function singleFlight<T>(run: () => Promise<T>): () => Promise<T> {
  let currentRun: Promise<T> | undefined
  return () => {
    currentRun ??= run().finally(() => {
      currentRun = undefined
    })
    return currentRun
  }
}
