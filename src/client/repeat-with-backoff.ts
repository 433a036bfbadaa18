/** The first and the longest wait between two attempts, in milliseconds. */
const FIRST_BACKOFF_MS = 100
const MAX_BACKOFF_MS = 10_000

/**
 * Calls `attempt` again whenever it has ended. Waits longer with each attempt in a row that resolves to false; with
 * jitter, since all clients of a service that restarts lose it at once.
 *
 * @returns a function that ends the repetition and resolves when the running attempt has ended.
 */
export function repeatWithBackoff(attempt: () => Promise<boolean>): () => Promise<void> {
  let isStopped = false
  let timer: NodeJS.Timeout | undefined
  let endWait = () => {}

  function wait(failures: number): Promise<void> {
    const longestMs = Math.min(FIRST_BACKOFF_MS * 2 ** failures, MAX_BACKOFF_MS)
    return new Promise((resolve) => {
      endWait = resolve
      timer = setTimeout(resolve, longestMs * (0.5 + Math.random() / 2))
    })
  }

  async function run(): Promise<void> {
    for (let failures = 0; !isStopped; ) {
      failures = (await attempt()) ? 0 : failures + 1
      if (!isStopped) await wait(failures)
    }
  }

  const ended = run()
  return () => {
    isStopped = true
    clearTimeout(timer)
    endWait()
    return ended
  }
}
