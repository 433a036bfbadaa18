import helmet from '@fastify/helmet'
import type { FastifyInstance, FastifyReply } from 'fastify'

/** Content security policy of data: a browser that displays it loads nothing else. */
const DATA_POLICY = {
  'default-src': ["'none'"],
  'base-uri': ["'none'"],
  'form-action': ["'none'"],
  'frame-ancestors': ["'none'"],
}

/** Content security policy of `/docs`: its own scripts, styles and images, and the OpenAPI document. */
export const DOCS_POLICY = {
  ...DATA_POLICY,
  'script-src': "'self'",
  'style-src': "'self' 'unsafe-inline'",
  'img-src': "'self' data:",
  'connect-src': "'self'",
}

/** Sets headers that prevent browsers from framing, sniffing or executing a response, and caches from storing it. */
export async function secureResponses(app: FastifyInstance): Promise<void> {
  await app.register(helmet, {
    contentSecurityPolicy: { useDefaults: false, directives: DATA_POLICY },
    xFrameOptions: { action: 'deny' },
    // RFC 6797 §7.2 forbids this header over plain HTTP, which this server speaks. The proxy that terminates TLS can add it.
    strictTransportSecurity: false,
  })
  app.addHook('onRequest', async (_request, reply) => {
    // A response is outdated at once, and can contain personal data.
    reply.header('cache-control', 'no-store')
  })
}

/** Sets the headers of {@link secureResponses} on the response to a malformed URL, which is sent before any hook runs. */
export function secureEarlyResponse(reply: FastifyReply): FastifyReply {
  const policy = Object.entries(DATA_POLICY).map(([name, values]) => `${name} ${values.join(' ')}`)
  return reply.headers({
    'cache-control': 'no-store',
    'content-security-policy': policy.join(';'),
    'referrer-policy': 'no-referrer',
    'x-content-type-options': 'nosniff',
    'x-frame-options': 'DENY',
  })
}
