/** Maximum delay of a timer, in milliseconds. A timer with a longer delay fires at once. */
const MAX_TIMER_MS = 2 ** 31 - 1

/**
 * Runs an operation with a timeout. The returned promise settles in time even if the operation ignores its signal, or
 * if the runtime has stopped the operation, because each call has its own timer.
 *
 * @param operation Gets a signal that is aborted at the timeout.
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
        // Reject first: the operation can fail because of the abort, with a less helpful error.
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
