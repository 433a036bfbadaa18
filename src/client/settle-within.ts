/** Maximum delay of a timer, in milliseconds. A timer with a longer delay fires at once. */
const MAX_TIMER_MS = 2 ** 31 - 1

/**
 * Runs an operation with a timeout. The promise settles in time even if the operation never settles.
 *
 * @param operation Receives a signal that is aborted at the timeout.
 * @param createError Creates the error with which the promise rejects at the timeout.
 */
export async function settleWithin<T>(
  timeoutMs: number,
  operation: (signal: AbortSignal) => Promise<T>,
  createError: () => Error,
): Promise<T> {
  const controller = new AbortController()
  let timer: ReturnType<typeof setTimeout> | undefined
  const timeout = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(
      () => {
        const error = createError()
        // The abort can make the operation reject with a less helpful error, so `reject` is called first.
        reject(error)
        controller.abort(error)
      },
      Math.min(timeoutMs, MAX_TIMER_MS),
    )
  })
  try {
    return await Promise.race([operation(controller.signal), timeout])
  } finally {
    clearTimeout(timer)
  }
}
