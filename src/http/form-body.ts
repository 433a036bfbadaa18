import { parse } from 'node:querystring'
import type { FastifyInstance } from 'fastify'

/** The media type of an HTML form (RFC 6749 appendix B). */
export const FORM = 'application/x-www-form-urlencoded'

/**
 * Makes the routes of a plugin accept only forms. A parameter that occurs more than once becomes an array, so that the
 * schema of the route rejects the request (RFC 6749 §3.1).
 */
export function acceptForms(app: FastifyInstance): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser(FORM, { parseAs: 'string' }, (_request, body, done) =>
    done(null, { ...parse(String(body)) }),
  )
}
