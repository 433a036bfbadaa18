import { abortedError, LastLogoutError } from '../errors.js'

/**
 * Calls `run` with a controller. The controller aborts when `parent` aborts. `run` can also abort the controller.
 *
 * `AbortSignal.any` is not used, because on Node 20 a timeout signal that is passed to `any` can be garbage-collected
 * before the timeout. Also, each call of `any` leaves an entry on a long-lived parent.
 */
export async function withAbort<T>(
  parent: AbortSignal,
  run: (controller: AbortController) => Promise<T>,
): Promise<T> {
  const controller = new AbortController()
  const abort = () => controller.abort(parent.reason)
  if (parent.aborted) abort()
  parent.addEventListener('abort', abort)
  try {
    return await run(controller)
  } finally {
    parent.removeEventListener('abort', abort)
  }
}

/**
 * Waits until a promise settles or `signal` aborts. Use this function for a promise that may not settle after the
 * abort.
 *
 * @throws `ABORTED`, or the `LastLogoutError` that is the reason of `signal`.
 */
export async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  let abort = () => {}
  const rejection = new Promise<never>((_, reject) => {
    abort = () => {
      const { reason } = signal
      reject(reason instanceof LastLogoutError ? reason : abortedError(reason))
    }
    signal.addEventListener('abort', abort)
    if (signal.aborted) abort()
  })
  try {
    return await Promise.race([promise, rejection])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}
