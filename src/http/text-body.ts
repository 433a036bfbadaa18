import type { FastifyInstance } from 'fastify'

/** Makes the routes of a plugin read each body as text. `Content-Type` may have any value, also a malformed one. */
export function acceptText(app: FastifyInstance): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'string' }, (_request, body, done) => done(null, body))
  app.addHook('onRequest', (request, _reply, done) => {
    // Fastify would reject a malformed value with 415, although the parser accepts every value.
    delete request.raw.headers['content-type']
    done()
  })
}
