import type { FastifyReply } from 'fastify'
import { abortedError } from '../errors.js'

/** Maximum number of bodies in memory, including those that are still being received. */
const MAX_REQUESTS = 5

/** Processes requests one after the other, and bounds the number of requests. */
export interface SerialQueue<T> {
  /** Reserves a slot for a request before its body arrives. Returns false if all slots are in use. */
  reserve(reply: FastifyReply): boolean
  /**
   * Runs `work` after all earlier work. Its signal aborts when the client disconnects or the queue is closed.
   *
   * @throws `ABORTED` when the client disconnects or the queue is closed before `work` starts.
   */
  run(reply: FastifyReply, work: (signal: AbortSignal) => Promise<T>): Promise<T>
  /** Aborts the running work, and rejects work that has not started. */
  close(): void
}

/**
 * Creates a queue for an expensive route. A slot is free again when the work has ended. A disconnect alone does not
 * free the slot of running work.
 */
export function createSerialQueue<T>(): SerialQueue<T> {
  const reservations = new Set<FastifyReply>()
  const controllers = new Set<AbortController>()
  let isOpen = true
  let lastWork: Promise<unknown> = Promise.resolve()

  return {
    reserve(reply) {
      if (reservations.size + controllers.size >= MAX_REQUESTS) return false
      reservations.add(reply)
      reply.raw.once('close', () => reservations.delete(reply))
      return true
    },
    async run(reply, work) {
      reservations.delete(reply)
      if (!isOpen || reply.raw.closed) throw abortedError()
      const controller = new AbortController()
      reply.raw.once('close', () => controller.abort())
      controllers.add(controller)
      const result = lastWork.then(() => {
        if (controller.signal.aborted) throw abortedError()
        return work(controller.signal)
      })
      // A failed request must not make the next request fail.
      lastWork = result.catch(() => {})
      return result.finally(() => controllers.delete(controller))
    },
    close() {
      isOpen = false
      for (const controller of controllers) controller.abort()
    },
  }
}
