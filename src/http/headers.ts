import helmet from '@fastify/helmet'
import type { FastifyInstance } from 'fastify'

/** Answers are data: a browser that shows one loads nothing for it. */
const DATA_ONLY = {
  'default-src': ["'none'"],
  'base-uri': ["'none'"],
  'form-action': ["'none'"],
  'frame-ancestors': ["'none'"],
}

/** What the page of `/docs` loads: its own scripts, styles, pictures and the description of the API. */
export const PAGE_POLICY = {
  ...DATA_ONLY,
  'script-src': "'self'",
  'style-src': "'self' 'unsafe-inline'",
  'img-src': "'self' data:",
  'connect-src': "'self'",
}

/** Sets the headers that keep browsers and caches from doing more with an answer than was meant. */
export async function secureAnswers(app: FastifyInstance): Promise<void> {
  await app.register(helmet, {
    contentSecurityPolicy: { useDefaults: false, directives: DATA_ONLY },
    xFrameOptions: { action: 'deny' },
    // RFC 6797 §7.2: not over plain HTTP, which is all that is spoken here. Whatever ends TLS sets it.
    strictTransportSecurity: false,
  })
  app.addHook('onRequest', async (_request, reply) => {
    // An answer is old at once, and may be about a person.
    reply.header('cache-control', 'no-store')
  })
}
