/** Waits until the event loop has run other work. Never rejects. */
export function nextTurn(): Promise<void> {
  // Browsers have no `setImmediate`. There, a timer takes a millisecond or more. The name stands behind `globalThis`, because
  // the build of Next.js warns of it in code that can run in its edge runtime.
  const { setImmediate: schedule = setTimeout } = globalThis
  return new Promise((resolve) => void schedule(resolve))
}
