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

/**
 * Content security policy of the console: its own scripts, styles, icon and data. It forbids inline scripts and styles,
 * and the functions that turn a text into HTML or a script.
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
 * Headers that prevent browsers from framing, sniffing or executing a response, and caches from storing it: those of
 * Helmet 8, with a stricter policy. `Strict-Transport-Security` is absent: RFC 6797 §7.2 forbids it over plain HTTP, which
 * this server speaks. The proxy that terminates TLS can add it.
 *
 * @see https://helmetjs.github.io
 */
const HEADERS = {
  // A response is outdated at once, and can contain personal data.
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

/** Sets the headers of {@link secureResponses} on the response to a malformed URL, which is sent before any hook runs. */
export function secureEarlyResponse(reply: FastifyReply): FastifyReply {
  return reply.headers(HEADERS)
}

function format(policy: Record<string, string[]>): string {
  return Object.entries(policy)
    .map(([name, values]) => `${name} ${values.join(' ')}`)
    .join(';')
}
