import { setTimeout as sleep } from 'node:timers/promises'

/** Values that are read ahead of their use. */
export interface ReadAhead<T> {
  /**
   * Waits for the next value. Returns it with all later ones that have arrived too, or nothing after the last one.
   *
   * @param gatherMs How long to wait for more values after the first one, in milliseconds. Default: 0.
   * @throws What `readNext` has thrown, after all earlier values were taken.
   */
  take(gatherMs?: number): Promise<T[]>
}

/**
 * Reads values one after another, ahead of their use. What arrives while the last values are used is then used together.
 *
 * @param readNext Reads the value after `previous`, which is `null` for the first value. Returns `null` after the last one.
 * @param maxAhead Maximum number of values that have not been taken.
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
      const isGathered = () => end !== undefined || arrived.length >= maxAhead
      const giveUpAt = performance.now() + gatherMs
      while (!isGathered() && performance.now() < giveUpAt) await sleep(1)
      if (arrived.length === 0 && end !== undefined && 'error' in end) throw end.error
      const values = arrived
      arrived = []
      onTaken()
      return values
    },
  }
}
