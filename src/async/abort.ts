/**
 * Runs something that ends with `parent`, or earlier by the controller that it is handed. Not
 * `AbortSignal.any`: on Node 20 it forgets a time-out among its signals at a garbage collection, and
 * leaves a trace on a parent that lives long.
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
