/** Waits for the next turn of the event loop, so that other work can run. Never rejects. */
export function nextTurn(): Promise<void> {
  // Browsers have no `setImmediate`. A timer is slower: it takes at least a millisecond. `setImmediate` is read from
  // `globalThis`, because the build of Next.js warns of the bare name in code for its edge runtime.
  const { setImmediate: schedule = setTimeout } = globalThis
  return new Promise((resolve) => void schedule(resolve))
}
