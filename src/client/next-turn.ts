/** Waits for the next turn of the event loop, so that other work can run. Never rejects. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    // Browsers have no `setImmediate`. A timer is slower: it takes at least a millisecond.
    if (typeof setImmediate === 'function') setImmediate(resolve)
    else setTimeout(resolve)
  })
}
