import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { HTTP_LIMITS, type HttpLimits } from '../../src/http/limits.js'
import { bearer, failIfCalled, keys, listenOnLoopback, openApi } from '../_support/api.js'

/** A suffix of each user id, which makes a response larger than the buffers of a connection. */
const ID_SUFFIX = 'x'.repeat(64)
const CHANGE_COUNT = 100_000

/** Limits with a tenth of the default timeouts for requests. */
const SHORT_LIMITS: HttpLimits = {
  ...HTTP_LIMITS,
  requestTimeout: 1_000,
  http: {
    ...HTTP_LIMITS.http,
    headersTimeout: 1_000,
    requestTimeout: 1_000,
    connectionsCheckingInterval: 100,
  },
}

let app: Awaited<ReturnType<typeof openApi>>
let url: URL
beforeAll(async () => {
  app = await openApiWithLongFeed(SHORT_LIMITS)
  url = new URL(await listenOnLoopback(app))
})
afterAll(() => app.close())

/** Opens the API with a change feed whose page is long. */
async function openApiWithLongFeed(limits?: HttpLimits) {
  const createChange = (n: number) => ({
    kind: 'user' as const,
    userId: `auth0|${n}${ID_SUFFIX}`,
    at: 0,
    allSessionsAt: null,
    type: 'slo',
  })
  const changes = Array.from({ length: CHANGE_COUNT }, (_, n) => createChange(n))
  return openApi({
    ...(limits && { limits }),
    readKnownLogouts: async () => ({
      user: null,
      session: null,
      floorAt: null,
      asOf: null,
      now: 0,
      complete: false,
    }),
    readProgress: failIfCalled,
    readChanges: async () => ({ changes, cursor: 'c', asOf: null, now: 0, more: false }),
    storeReported: async () => null,
  })
}

const openConnection = async (target = url): Promise<Socket> => {
  const socket = connect(Number(target.port), target.hostname)
  // If the server resets the connection, the socket emits an error.
  socket.on('error', () => {})
  await once(socket, 'connect')
  return socket
}

/** Reads until the connection is closed. Returns the text, and the duration in milliseconds. */
const readToEnd = async (socket: Socket) => {
  const startedAt = performance.now()
  let text = ''
  socket.setEncoding('utf8').on('data', (chunk) => {
    text += chunk
  })
  // `once` of node:events would reject if the server resets the connection because the client sent more.
  if (!socket.closed) await new Promise((resolve) => socket.once('close', resolve))
  return { text, durationMs: performance.now() - startedAt }
}

/**
 * Sends `text` every 200 ms until the connection is closed. `setImmediate` sends after the socket has been read: a
 * write to a closed connection would discard a response that was not read yet.
 */
const sendRepeatedly = (socket: Socket, text: string) => {
  const send = () => void (socket.writable && socket.write(text))
  const timer = setInterval(() => setImmediate(send), 200)
  socket.once('close', () => clearInterval(timer))
}

/** Formats lines of a request. An empty last line ends the headers. */
const formatLines = (lines: string[]) => `${lines.join('\r\n')}\r\n`
const authorization = (key: typeof keys.reader) => `Authorization: ${bearer(key).authorization}`

describe.concurrent('slow clients', () => {
  test.concurrent('the server disconnects a client that sends nothing', async () => {
    const { durationMs } = await readToEnd(await openConnection())
    expect(durationMs).toBeGreaterThan(800)
    expect(durationMs).toBeLessThan(5_000)
  })

  test.concurrent('the server disconnects a client that sends headers slowly', async () => {
    const socket = await openConnection()
    socket.write(formatLines(['GET /health/live HTTP/1.1', 'Host: x']))
    sendRepeatedly(socket, 'X-A: b\r\n')
    const { text, durationMs } = await readToEnd(socket)
    expect(text).toMatch(/^HTTP\/1\.1 408 /)
    expect(durationMs).toBeLessThan(5_000)
  })

  test.concurrent('the server disconnects a client that sends a body slowly', async () => {
    const socket = await openConnection()
    const lines = ['POST /v1/check HTTP/1.1', 'Host: x', authorization(keys.checker)]
    socket.write(
      formatLines([...lines, 'Content-Type: application/json', 'Content-Length: 9999', '']),
    )
    sendRepeatedly(socket, ' ')
    const { text, durationMs } = await readToEnd(socket)
    expect(text).toMatch(/^HTTP\/1\.1 408 /)
    expect(durationMs).toBeLessThan(5_000)
  })

  test.concurrent('the server disconnects a client that sends a body slowly, and no key', async () => {
    const socket = await openConnection()
    socket.write(
      formatLines(['POST /v1/check HTTP/1.1', 'Host: x', 'Transfer-Encoding: chunked', '']),
    )
    sendRepeatedly(socket, '1\r\n \r\n')
    const { text, durationMs } = await readToEnd(socket)
    expect(text).toMatch(/^HTTP\/1\.1 401 /)
    expect(durationMs).toBeLessThan(5_000)
  })

  test.concurrent('the server disconnects a client that does not read a long response', async ({
    onTestFinished,
  }) => {
    const apiWithShortTimeout = await openApiWithLongFeed({
      ...HTTP_LIMITS,
      connectionTimeout: 1_000,
    })
    onTestFinished(() => apiWithShortTimeout.close())
    const whenAccepted = once(apiWithShortTimeout.server, 'connection')
    const socket = (
      await openConnection(new URL(await listenOnLoopback(apiWithShortTimeout)))
    ).pause()
    socket.write(
      formatLines(['GET /v1/changes HTTP/1.1', 'Host: x', authorization(keys.subscriber), '']),
    )
    // Node.js closes the connection if the client reads nothing for twice the timeout.
    const [serverSocket] = await whenAccepted
    await once(serverSocket, 'close')
    const { text } = await readToEnd(socket.resume())
    expect(text).toMatch(/^HTTP\/1\.1 200 /)
    expect(text.length).toBeLessThan(CHANGE_COUNT * ID_SUFFIX.length)
  })

  test.concurrent('slow clients do not delay other clients', async () => {
    const sockets = await Promise.all(Array.from({ length: 200 }, () => openConnection()))
    for (const socket of sockets) {
      socket.write(formatLines(['GET /health/live HTTP/1.1', 'Host: x']))
      sendRepeatedly(socket, 'X-A: b\r\n')
    }
    const startedAt = performance.now()
    const response = await fetch(new URL('/v1/users/x/last-logout', url), {
      headers: bearer(keys.reader),
    })
    expect(response.status).toBe(200)
    expect(performance.now() - startedAt).toBeLessThan(2_000)
    await Promise.all(sockets.map(readToEnd))
  })
})

test('by default, a request times out after 10 s, a connection without traffic after 30 s, and one that waits for its next request after 65 s', async () => {
  const { server, close } = await openApiWithLongFeed()
  expect(server).toMatchObject({
    headersTimeout: 10_000,
    requestTimeout: 10_000,
    keepAliveTimeout: 65_000,
    timeout: 30_000,
    maxConnections: 10_000,
  })
  expect(HTTP_LIMITS.http.connectionsCheckingInterval).toBe(1_000)
  await close()
})

describe('size limits', () => {
  test('the server rejects headers of more than 24 KiB with 431', async () => {
    const socket = await openConnection()
    socket.write(
      formatLines(['GET /health/live HTTP/1.1', 'Host: x', `X: ${'x'.repeat(24 * 1024)}`, '']),
    )
    const { text } = await readToEnd(socket)
    expect(text).toMatch(/^HTTP\/1\.1 431 /)
    expect(text).toContain('"statusCode":431')
  })

  test('the server accepts ids of the maximum length', async () => {
    // 800 characters, each U+FFFD in percent-encoding.
    const id = '%EF%BF%BD'.repeat(800)
    const path = `/v1/users/${id}/last-logout?session_id=${id}`
    const response = await fetch(new URL(path, url), { headers: bearer(keys.reader) })
    expect(response.status).toBe(200)
  })

  test('the server rejects a body with a large Content-Length before it receives the body', async () => {
    const socket = await openConnection()
    const lines = ['POST /v1/check HTTP/1.1', 'Host: x', authorization(keys.checker)]
    const type = 'Content-Type: application/json'
    socket.write(
      formatLines([...lines, type, 'Content-Length: 999999999', 'Connection: close', '']),
    )
    expect((await readToEnd(socket)).text).toMatch(/^HTTP\/1\.1 413 /)
  })

  test('the server rejects a body without a Content-Length when it exceeds the limit', async () => {
    const socket = await openConnection()
    const lines = ['POST /v1/check HTTP/1.1', 'Host: x', authorization(keys.checker)]
    const type = 'Content-Type: application/json'
    socket.write(formatLines([...lines, type, 'Transfer-Encoding: chunked', '']))
    // A chunk of 16 KiB (4000 in hexadecimal) in chunked encoding. Seventeen chunks exceed the limit of 256 KiB.
    const chunk = `4000\r\n${' '.repeat(0x4000)}\r\n`
    for (let n = 0; n < 17; n++) socket.write(chunk)
    const reading = readToEnd(socket)
    socket.end()
    expect((await reading).text).toMatch(/^HTTP\/1\.1 413 /)
  })
})
