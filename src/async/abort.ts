/**
 * Runs `run` with a controller that aborts with `parent`, or earlier.
 *
 * `AbortSignal.any` is not used: on Node 20 a timeout signal among its sources can be garbage-collected
 * before it fires, and each call leaves an entry on a long-lived parent.
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
