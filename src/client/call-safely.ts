/**
 * Calls a callback of the application. Never throws, so that an error of the callback cannot end a check or a
 * connection.
 *
 * @param onError Called if the callback throws, or if its promise rejects. Default: the error is ignored.
 */
export function callSafely(
  callback: () => unknown,
  onError: (error: unknown) => void = () => {},
): void {
  new Promise((resolve) => resolve(callback())).catch(onError)
}
