import { createServer, type IncomingMessage } from 'node:http'
import { expect, onTestFinished, test, vi } from 'vitest'
import { readFeed } from '../../src/client/feed-connection.js'
import { openClient } from '../_support/client.js'
import { readExample } from '../_support/documents.js'
import { openLoopback } from '../_support/loopback.js'
import { eventText } from '../_support/scripted-feed.js'
import { KEY } from '../_support/served-api.js'

const EVENT_COUNT = 60
const BUSY_MS = 3

/** Creates a response whose events are all available at once. The client never waits for a socket between events. */
function createBufferedResponse(): Response {
  const event = new TextEncoder().encode(`event: other\ndata: ${'x'.repeat(65_536)}\n\n`)
  const body = new ReadableStream({
    start(controller) {
      for (let n = 0; n < EVENT_COUNT; n++) controller.enqueue(event)
      controller.close()
    },
  })
  return new Response(body, { headers: { 'content-type': 'text/event-stream' } })
}

/** Keeps the event loop busy for `BUSY_MS`, like an event of a load. A load is the reading of all logouts. */
function keepBusy(): void {
  const endMs = performance.now() + BUSY_MS
  while (performance.now() < endMs);
}

test('other work of the event loop runs during a load', async () => {
  vi.stubGlobal('fetch', async () => createBufferedResponse())
  onTestFinished(() => void vi.unstubAllGlobals())
  let eventCount = 0
  let turnCount = 0
  const countTurn = () => {
    turnCount++
    if (eventCount < EVENT_COUNT) setImmediate(countTurn)
  }
  await readFeed(
    { url: 'http://127.0.0.1/', apiKey: 'unused' },
    {
      query: new URLSearchParams(),
      connection: new AbortController(),
      silenceTimeoutMs: 60_000,
      onEvent() {
        if (eventCount === 0) setImmediate(countTurn)
        eventCount++
        keepBusy()
      },
    },
  )
  expect(eventCount).toBe(EVENT_COUNT)
  // The client lets other work run after 8 ms, which are three of these events. The test allows five.
  expect(turnCount).toBeGreaterThanOrEqual(EVENT_COUNT / 5)
})

test.each([
  [503, '7', 7_000],
  [429, '60', 60_000],
  // The client ignores a date.
  [503, 'Wed, 21 Oct 2026 07:28:00 GMT', undefined],
  [503, undefined, undefined],
])(
  'the error for a response with status %i and `Retry-After: %s` has the retryAfterMs %s',
  async (status, retryAfter, retryAfterMs) => {
    const headers = retryAfter === undefined ? {} : { 'retry-after': retryAfter }
    const server = createServer(
      (_request, response) => void response.writeHead(status, headers).end(),
    )
    const { url, close } = await openLoopback(server)
    const options = {
      query: new URLSearchParams(),
      connection: new AbortController(),
      silenceTimeoutMs: 60_000,
      onEvent: () => {},
    }
    await expect(readFeed({ url: `${url}/`, apiKey: 'unused' }, options)).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      retryAfterMs,
    })
    await close()
  },
)

test('a client that resumes sends the request in docs/feed.md', async () => {
  const requests: IncomingMessage[] = []
  const freshness = { cursor: 'C1', as_of: new Date().toISOString(), lag_ms: 0, policy: 'session' }
  const server = createServer((request, response) => {
    requests.push(request)
    response.setHeader('content-type', 'text/event-stream')
    // After the load, the connection ends.
    response.end(eventText('freshness', freshness, 'C1'))
  })
  const { url, close } = await openLoopback(server)
  onTestFinished(close)
  const client = openClient(url)
  onTestFinished(client.close)
  await expect.poll(() => requests.length, { timeout: 10_000, interval: 20 }).toBeGreaterThan(1)

  const [line = '', ...headers] = (await readExample('docs/feed.md', 'Request', ''))
    .trim()
    .split('\n')
  const [method, documentedUrl = ''] = line.split(' ')
  const documented = new URL(documentedUrl, url)
  const [load, resumed] = requests.map((request) => new URL(request.url ?? '', url))
  expect(requests[1]?.method).toBe(method)
  expect(resumed?.pathname).toBe(documented.pathname)
  expect([...(resumed?.searchParams.keys() ?? [])]).toEqual([...documented.searchParams.keys()])
  const [since, ...others] = [load, resumed, documented].map((each) =>
    each?.searchParams.get('since'),
  )
  expect(others[0]).toBe(since)
  for (const each of [since, others[1]]) expect(new Date(each ?? '').toISOString()).toBe(each)
  expect(resumed?.searchParams.get('after')).toBe('C1')
  expect(headers).toHaveLength(3)
  for (const header of headers) {
    const [name = '', value = ''] = header.split(': ')
    const expected = value.replace('<key with the role feed>', KEY)
    expect(requests[1]?.headers[name.toLowerCase()], name).toBe(expected)
  }
})
