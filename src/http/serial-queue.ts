import type { FastifyReply } from 'fastify'
import { aborted } from '../errors.js'

/** Maximum number of bodies in memory. One of them is being stored; the others wait or are still arriving. */
const MAX_REQUESTS = 5

/** Processes requests one after the other. */
export interface SerialQueue<T> {
  /** Reserves a slot before the body arrives. Returns false if the queue is full. */
  reserve(reply: FastifyReply): boolean
  /**
   * Runs `work` after all earlier work. `signal` is aborted when the client disconnects or the queue is closed.
   *
   * @throws `ABORTED` when the client disconnects or the queue is closed before `work` starts.
   */
  run(reply: FastifyReply, work: (signal: AbortSignal) => Promise<T>): Promise<T>
  /** Aborts the running work, and rejects work that has not started. */
  close(): void
}

/**
 * Creates a queue that bounds the concurrency and the memory of an expensive route. A slot is free again when its
 * work has ended, not when its client disconnects.
 */
export function createSerialQueue<T>(): SerialQueue<T> {
  const arriving = new Set<FastifyReply>()
  const accepted = new Set<AbortController>()
  let isOpen = true
  let last: Promise<unknown> = Promise.resolve()

  return {
    reserve(reply) {
      if (arriving.size + accepted.size >= MAX_REQUESTS) return false
      arriving.add(reply)
      reply.raw.once('close', () => arriving.delete(reply))
      return true
    },
    async run(reply, work) {
      arriving.delete(reply)
      if (!isOpen || reply.raw.closed) throw aborted()
      const controller = new AbortController()
      reply.raw.once('close', () => controller.abort())
      accepted.add(controller)
      const result = last.then(() => {
        if (controller.signal.aborted) throw aborted()
        return work(controller.signal)
      })
      // The failure of one request must not fail the next.
      last = result.catch(() => {})
      return result.finally(() => accepted.delete(controller))
    },
    close() {
      isOpen = false
      for (const controller of accepted) controller.abort()
    },
  }
}
