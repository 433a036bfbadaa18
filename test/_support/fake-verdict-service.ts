import { createServer, type RequestListener, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { type LoopbackServer, openLoopback } from './loopback.js'

const MINUTE_MS = 60_000
/** The time between two characters of a slow response. */
const CHARACTER_INTERVAL_MS = 30
/** The number of slow responses of `recovering`: as many as the example in Python has threads. */
export const SLOW_COUNT = 32

/** Returns the body of a response that accepts the token. */
const acceptedBody = (asOf: string | null = ago(0)) =>
  JSON.stringify({
    revoked: false,
    reason: 'no_logout',
    last_logout_at: null,
    login_at: ago(0),
    as_of: asOf,
  })

/** Returns the time `ms` milliseconds ago. If `ms` is negative, the time is in the future. */
const ago = (ms: number) => new Date(Date.now() - ms).toISOString()

/** Returns the body of a response that accepts the token, without one field. */
function acceptedBodyWithout(field: string): string {
  return JSON.stringify({ ...JSON.parse(acceptedBody()), [field]: undefined })
}

/** Creates a listener that responds with a body in JSON. */
const respondWith =
  (body: () => string, status = 200): RequestListener =>
  (_request, response) =>
    response.writeHead(status, { 'content-type': 'application/json' }).end(body())

/**
 * Writes a text character by character, and then ends the response. This takes more than three seconds, but no pause
 * lasts one second. So a timeout that starts again with each character does not end the request.
 */
function writeSlowly(stream: Socket | ServerResponse, text: string): void {
  let written = 0
  const timer = setInterval(() => {
    if (written < text.length) stream.write(text.charAt(written++))
    else stream.end()
  }, CHARACTER_INTERVAL_MS)
  stream.once('close', () => clearInterval(timer))
}

function writeBodySlowly(response: ServerResponse, text: string): void {
  response.writeHead(200, { 'content-type': 'application/json' }).flushHeaders()
  writeSlowly(response, text)
}

/** Responses by name. The real service sends only `accepting`. The others are faults of a service or a proxy. */
const RESPONSES: Record<string, RequestListener> = {
  accepting: respondWith(acceptedBody),
  'slightly-ahead': respondWith(() => acceptedBody(ago(-MINUTE_MS / 2))),
  ahead: respondWith(() => acceptedBody(ago(-2 * MINUTE_MS))),
  'no-revoked': respondWith(() => acceptedBodyWithout('revoked')),
  'revoked-is-a-string': respondWith(() => acceptedBody().replace('false', '"false"')),
  'revoked-is-null': respondWith(() => acceptedBody().replace('false', 'null')),
  'no-reason-and-no-as-of': respondWith(() => '{"revoked":false}'),
  'no-as-of': respondWith(() => acceptedBodyWithout('as_of')),
  'as-of-is-a-word': respondWith(() => acceptedBody('now')),
  'as-of-is-a-number': respondWith(() =>
    acceptedBody().replace(/"as_of":".*?"/, `"as_of":${Date.now()}`),
  ),
  null: respondWith(() => 'null'),
  list: respondWith(() => '[]'),
  string: respondWith(() => '"revoked"'),
  empty: respondWith(() => ''),
  html: respondWith(() => '<html><body>Welcome</body></html>'),
  truncated: respondWith(() => acceptedBody().slice(0, -10)),
  'cut-off': (_request, response) => {
    const body = acceptedBody()
    response.writeHead(200, { 'content-length': body.length + 10 })
    response.write(body.slice(0, -10), () => response.destroy())
  },
  'another-status': respondWith(acceptedBody, 203),
  'internal-error': respondWith(acceptedBody, 500),
  // A proxy that quotes the header of the request, and a message that is too long for a log.
  'quoting-error': ({ headers }, response) => {
    const message = `quoted\n${headers.authorization} ${'x'.repeat(10_000)}`
    response.writeHead(400, { 'content-type': 'application/json' }).end(JSON.stringify({ message }))
  },
  'list-error': respondWith(() => '["message"]', 400),
  'html-error': respondWith(() => '<html><body>Bad Gateway</body></html>', 502),
  silent: () => {},
  'slow-headers': ({ socket }) => {
    const headers = `X-Slow: ${'x'.repeat(100)}\r\nConnection: close\r\n\r\n`
    writeSlowly(socket, `HTTP/1.1 200 OK\r\n${headers}${acceptedBody()}`)
  },
  'endless-headers': ({ socket }) =>
    writeSlowly(socket, `HTTP/1.1 200 OK\r\nX-Slow: ${'x'.repeat(100_000)}`),
  'slow-body': (_request, response) => writeBodySlowly(response, acceptedBody()),
  'endless-body': (_request, response) =>
    writeBodySlowly(response, acceptedBody() + ' '.repeat(100_000)),
}

/** A fake of the service. The first segment of the path is the name of the response that it sends. */
export interface FakeVerdictService extends LoopbackServer {
  /** Returns the URL at which the fake service sends the response of this name. */
  urlOf(name: string): string
  /** The headers of each request to `accepting`. */
  acceptedRequests: object[]
}

/**
 * Opens the fake service. A path such as `/redirect-302` redirects to `accepting`, with the status in the path.
 * `recovering` is like `endless-headers` for the first {@link SLOW_COUNT} requests, and then like `accepting`.
 */
export async function openFakeVerdictService(): Promise<FakeVerdictService> {
  const acceptedRequests: object[] = []
  let recoveringCount = 0
  const server = createServer((request, response) => {
    let [, name = ''] = (request.url ?? '').split('/')
    request.resume()
    const [, status] = /^redirect-(\d+)$/.exec(name) ?? []
    if (status !== undefined) {
      response.writeHead(Number(status), { location: '/accepting/v1/check' }).end()
      return
    }
    if (name === 'recovering') {
      name = recoveringCount++ < SLOW_COUNT ? 'endless-headers' : 'accepting'
    }
    if (name === 'accepting') acceptedRequests.push(request.headers)
    const listener = RESPONSES[name]
    if (listener === undefined) throw new Error(`no such response: ${name}`)
    listener(request, response)
  })
  const loopback = await openLoopback(server)
  return { ...loopback, acceptedRequests, urlOf: (name) => `${loopback.url}/${name}` }
}
