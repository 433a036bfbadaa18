import helmet from '@fastify/helmet'
import type { FastifyInstance, FastifyReply } from 'fastify'

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

/** Sets the same for an answer that comes before any hook: to a URL that cannot be read. */
export function secureEarlyAnswer(reply: FastifyReply): FastifyReply {
  const policy = Object.entries(DATA_ONLY).map(([name, values]) => `${name} ${values.join(' ')}`)
  return reply.headers({
    'cache-control': 'no-store',
    'content-security-policy': policy.join(';'),
    'referrer-policy': 'no-referrer',
    'x-content-type-options': 'nosniff',
    'x-frame-options': 'DENY',
  })
}
