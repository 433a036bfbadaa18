import { createServer, type RequestListener, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { type LoopbackServer, openLoopback } from './loopback.js'

const MINUTE_MS = 60_000
const DRIP_MS = 30

/** The body of a response that accepts the token. */
const acceptedBody = (asOf: string | null = ago(0)) =>
  JSON.stringify({
    revoked: false,
    reason: 'no_logout',
    last_logout_at: null,
    login_at: ago(0),
    as_of: asOf,
  })

const ago = (ms: number) => new Date(Date.now() - ms).toISOString()

/** Returns the body of a response that accepts the token, without one field. */
function without(field: string): string {
  return JSON.stringify({ ...JSON.parse(acceptedBody()), [field]: undefined })
}

const send =
  (body: () => string, status = 200): RequestListener =>
  (_request, response) =>
    response.writeHead(status, { 'content-type': 'application/json' }).end(body())

/**
 * Writes a text character by character, and then ends the response. More than three seconds pass, without a pause of
 * one second.
 */
function drip(stream: Socket | ServerResponse, text: string): void {
  let written = 0
  const timer = setInterval(() => {
    if (written < text.length) stream.write(text.charAt(written++))
    else stream.end()
  }, DRIP_MS)
  stream.once('close', () => clearInterval(timer))
}

function dripBody(response: ServerResponse, text: string): void {
  response.writeHead(200, { 'content-type': 'application/json' }).flushHeaders()
  drip(response, text)
}

/** The responses of the fake service, by the first part of the path. The real service sends only `accepting`. */
const RESPONSES: Record<string, RequestListener> = {
  accepting: send(acceptedBody),
  'slightly-ahead': send(() => acceptedBody(ago(-MINUTE_MS / 2))),
  ahead: send(() => acceptedBody(ago(-2 * MINUTE_MS))),
  'no-revoked': send(() => without('revoked')),
  'revoked-is-a-string': send(() => acceptedBody().replace('false', '"false"')),
  'revoked-is-null': send(() => acceptedBody().replace('false', 'null')),
  'no-reason-and-no-as-of': send(() => '{"revoked":false}'),
  'no-as-of': send(() => without('as_of')),
  'as-of-is-a-word': send(() => acceptedBody('now')),
  'as-of-is-a-number': send(() => acceptedBody().replace(/"as_of":".*?"/, `"as_of":${Date.now()}`)),
  null: send(() => 'null'),
  list: send(() => '[]'),
  string: send(() => '"revoked"'),
  empty: send(() => ''),
  html: send(() => '<html><body>Welcome</body></html>'),
  truncated: send(() => acceptedBody().slice(0, -10)),
  'cut-off': (_request, response) => {
    const body = acceptedBody()
    response.writeHead(200, { 'content-length': body.length + 10 })
    response.write(body.slice(0, -10), () => response.destroy())
  },
  'another-status': send(acceptedBody, 203),
  'internal-error': send(acceptedBody, 500),
  silent: () => {},
  'slow-headers': ({ socket }) => {
    const headers = `X-Slow: ${'x'.repeat(100)}\r\nConnection: close\r\n\r\n`
    drip(socket, `HTTP/1.1 200 OK\r\n${headers}${acceptedBody()}`)
  },
  'slow-body': (_request, response) => dripBody(response, acceptedBody()),
  'endless-body': (_request, response) => dripBody(response, acceptedBody() + ' '.repeat(100_000)),
}

/** A fake of the service. The first part of the path selects the response. */
export interface FakeVerdictService extends LoopbackServer {
  /** Returns the URL at which the fake service sends the response of this name. */
  urlOf(name: string): string
  /** The requests to `accepting`, each with its headers. */
  accepted: object[]
}

/** Opens the fake service. A path such as `/redirect-302` redirects to a response that accepts the token. */
export async function openFakeVerdictService(): Promise<FakeVerdictService> {
  const accepted: object[] = []
  const server = createServer((request, response) => {
    const [, name = ''] = (request.url ?? '').split('/')
    request.resume()
    const [, status] = /^redirect-(\d+)$/.exec(name) ?? []
    if (status !== undefined) {
      response.writeHead(Number(status), { location: '/accepting/v1/check' }).end()
      return
    }
    if (name === 'accepting') accepted.push(request.headers)
    const listener = RESPONSES[name]
    if (listener === undefined) throw new Error(`no such response: ${name}`)
    listener(request, response)
  })
  const loopback = await openLoopback(server)
  return { ...loopback, accepted, urlOf: (name) => `${loopback.url}/${name}` }
}
