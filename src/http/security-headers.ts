import type { FastifyInstance, FastifyReply } from 'fastify'

/** Content security policy of JSON: a browser that displays it loads nothing. */
const DATA_POLICY = {
  'default-src': ["'none'"],
  'base-uri': ["'none'"],
  'form-action': ["'none'"],
  'frame-ancestors': ["'none'"],
}

/**
 * Content security policy of `/docs`, in the form that `@fastify/swagger-ui` expects. It allows scripts, styles, images
 * and requests of the same origin.
 */
export const DOCS_POLICY = {
  ...DATA_POLICY,
  'script-src': ["'self'"],
  'style-src': ["'self'", "'unsafe-inline'"],
  'img-src': ["'self'", 'data:'],
  'connect-src': ["'self'"],
}

/**
 * Content security policy of the console. It allows scripts, styles, images and requests of the same origin. It forbids
 * inline scripts and styles, and the conversion of text into HTML or scripts (Trusted Types).
 */
export const CONSOLE_POLICY = format({
  ...DATA_POLICY,
  'script-src': ["'self'"],
  'style-src': ["'self'"],
  'img-src': ["'self'"],
  'connect-src': ["'self'"],
  'require-trusted-types-for': ["'script'"],
})

/**
 * The headers of Helmet 8, with a stricter content security policy. `Strict-Transport-Security` is absent, because RFC
 * 6797 §7.2 forbids it over plain HTTP. The proxy that terminates TLS can add it.
 *
 * @see https://helmetjs.github.io
 */
const HEADERS = {
  // A response can contain personal data, and is outdated at once.
  'cache-control': 'no-store',
  'content-security-policy': format(DATA_POLICY),
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'origin-agent-cluster': '?1',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-dns-prefetch-control': 'off',
  'x-download-options': 'noopen',
  'x-frame-options': 'DENY',
  'x-permitted-cross-domain-policies': 'none',
  'x-xss-protection': '0',
}

/** Sets the security headers on every response. */
export function secureResponses(app: FastifyInstance): void {
  app.addHook('onRequest', (_request, reply, done) => {
    reply.headers(HEADERS)
    done()
  })
}

/** Sets the security headers on the response to a malformed URL. Fastify sends this response before any hook runs. */
export function secureEarlyResponse(reply: FastifyReply): FastifyReply {
  return reply.headers(HEADERS)
}

function format(policy: Record<string, string[]>): string {
  return Object.entries(policy)
    .map(([name, values]) => `${name} ${values.join(' ')}`)
    .join(';')
}
