import { setTimeout as sleep } from 'node:timers/promises'

/** A queue of values that are read in the background. */
export interface ReadAhead<T> {
  /**
   * Waits for a value, then returns all values that have arrived. Returns an empty array after the last value.
   *
   * @param gatherMs How long to wait for further values after the first value, in milliseconds. Default: 0.
   * @throws The error of `readNext`, after all values before the error were taken.
   */
  take(gatherMs?: number): Promise<T[]>
}

/**
 * Reads values one after another, before they are needed.
 *
 * @param readNext Reads the value after `previous`. For the first value, `previous` is `null`. Returns `null` at the
 *   end.
 * @param maxAhead Maximum number of values that were read but not yet taken. At this number, reading pauses.
 */
export function readAhead<T>(
  readNext: (previous: T | null) => Promise<T | null>,
  maxAhead: number,
): ReadAhead<T> {
  let arrived: T[] = []
  let end: { error?: unknown } | undefined
  let onArrival = () => {}
  let onTaken = () => {}

  async function readAll(): Promise<void> {
    for (let value = await readNext(null); value !== null; value = await readNext(value)) {
      arrived.push(value)
      onArrival()
      if (arrived.length < maxAhead) continue
      await new Promise<void>((resolve) => {
        onTaken = resolve
      })
    }
  }
  readAll()
    .then(() => {
      end = {}
    })
    .catch((error) => {
      end = { error }
    })
    .finally(() => onArrival())

  return {
    async take(gatherMs = 0) {
      if (arrived.length === 0 && end === undefined) {
        await new Promise<void>((resolve) => {
          onArrival = resolve
        })
      }
      const canGrow = () => end === undefined && arrived.length < maxAhead
      const deadline = performance.now() + gatherMs
      while (canGrow() && performance.now() < deadline) await sleep(1)
      if (arrived.length === 0 && end !== undefined && 'error' in end) throw end.error
      const values = arrived
      arrived = []
      onTaken()
      return values
    },
  }
}
