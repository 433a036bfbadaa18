/**
 * Calls a callback of the application. An error of the callback must not end a check, a watch or the connection to the
 * service.
 *
 * @param onError Called with an error that the callback throws, or with the reason of a promise that it rejects. Default:
 *   both are ignored.
 */
export function callSafely(
  callback: () => unknown,
  onError: (error: unknown) => void = () => {},
): void {
  new Promise((resolve) => resolve(callback())).catch(onError)
}
