/** A timer with a longer delay would fire at once, in milliseconds. */
const MAX_TIMER_MS = 2 ** 31 - 1

/**
 * Runs an operation with a timeout. The returned promise settles in time even if the operation ignores its signal, or
 * if the runtime has stopped the operation: the timer belongs to this call.
 *
 * @param timeoutMs Milliseconds.
 * @param operation Its signal is aborted at the timeout.
 * @param toError Creates the error of a timeout.
 */
export async function settleWithin<T>(
  timeoutMs: number,
  operation: (signal: AbortSignal) => Promise<T>,
  toError: () => Error,
): Promise<T> {
  const controller = new AbortController()
  let timer: ReturnType<typeof setTimeout> | undefined
  const timeout = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(
      () => {
        const error = toError()
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
