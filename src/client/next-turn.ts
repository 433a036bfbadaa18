/** Waits until the event loop has run other work. Never rejects. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    // Browsers have no `setImmediate`. A timer takes a millisecond or more.
    if (typeof setImmediate === 'function') setImmediate(resolve)
    else setTimeout(resolve)
  })
}
