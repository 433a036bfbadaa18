import type { FastifyReply } from 'fastify'
import { aborted } from '../errors.js'

/** How many bodies are held at once: one is being stored, the others wait for it or arrive. */
const MOST_HELD = 5

/** Takes bodies in, one after the other. */
export interface Intake<T> {
  /** Keeps a place for what arrives; false: there is none. */
  enter(reply: FastifyReply): boolean
  /** Does the work in its turn. The signal tells that its sender has gone, or that nobody is served. */
  take(reply: FastifyReply, work: (signal: AbortSignal) => Promise<T>): Promise<T>
  /** Stops what is under way as soon as it can, and the rest before it begins. */
  close(): Promise<void>
}

/**
 * However many send, and however much: the database is asked by one at a time, and what is held in
 * memory has a bound. A place is given back when its work has ended, not when its sender has gone.
 */
export function createIntake<T>(): Intake<T> {
  const arriving = new Set<FastifyReply>()
  const taken = new Set<AbortController>()
  let isOpen = true
  let last: Promise<unknown> = Promise.resolve()

  return {
    enter(reply) {
      if (arriving.size + taken.size >= MOST_HELD) return false
      arriving.add(reply)
      reply.raw.once('close', () => arriving.delete(reply))
      return true
    },
    async take(reply, work) {
      arriving.delete(reply)
      if (!isOpen || reply.raw.closed) throw aborted()
      const gone = new AbortController()
      reply.raw.once('close', () => gone.abort())
      taken.add(gone)
      const done = last.then(() => {
        if (gone.signal.aborted) throw aborted()
        return work(gone.signal)
      })
      // A failure is its sender's alone.
      last = done.catch(() => {})
      return done.finally(() => taken.delete(gone))
    },
    async close() {
      isOpen = false
      for (const work of taken) work.abort()
      await last
    },
  }
}
