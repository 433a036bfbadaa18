/**
 * Returns a function that calls `run`. While a call of `run` is in progress, further calls share its result. Later calls
 * start a new call of `run`.
 */
export function singleFlight<T>(run: () => Promise<T>): () => Promise<T> {
  let currentRun: Promise<T> | undefined
  return () => {
    currentRun ??= run().finally(() => {
      currentRun = undefined
    })
    return currentRun
  }
}
