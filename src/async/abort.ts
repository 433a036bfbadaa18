import { abortedError, LastLogoutError } from '../errors.js'

/**
 * Runs `run` with a controller that aborts when `parent` aborts, or when `run` aborts it.
 *
 * `AbortSignal.any` is not used. On Node 20, a timeout signal among its sources can be garbage-collected before it
 * fires, and each call of `any` leaves an entry on a long-lived parent.
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
 * Waits for a promise until `signal` aborts. Use it for a promise that may never settle after `signal` has aborted.
 *
 * @throws `ABORTED`, or the `LastLogoutError` that `signal` was aborted with.
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
