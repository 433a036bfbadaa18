import { once } from 'node:events'
import { createServer } from 'node:http'
import { Worker } from 'node:worker_threads'
import { expect, test } from 'vitest'
import { readFeed } from '../../src/client/feed-connection.js'
import { openLoopback } from '../_support/loopback.js'

const EVENTS = 60
const WORK_MS = 3

/**
 * A feed in a thread of its own: it sends more events while the client is busy. An event is as long as a socket read.
 */
const FEED = `
  const { parentPort } = require('node:worker_threads')
  const event = 'event: other\\ndata: ' + 'x'.repeat(65_536) + '\\n\\n'
  const server = require('node:http').createServer((request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.end(event.repeat(${EVENTS}))
  })
  server.listen(0, '127.0.0.1', () => parentPort.postMessage(server.address().port))
`

/** Keeps the event loop busy, as the events of a load do. */
function work(): void {
  const endMs = performance.now() + WORK_MS
  while (performance.now() < endMs);
}

test('other work of the event loop runs during a load', async () => {
  const feed = new Worker(FEED, { eval: true })
  const [port] = await once(feed, 'message')
  let count = 0
  let turns = 0
  const countTurn = () => {
    turns++
    if (count < EVENTS) setImmediate(countTurn)
  }
  await readFeed(
    { url: `http://127.0.0.1:${port}/`, apiKey: 'unused' },
    {
      query: new URLSearchParams(),
      connection: new AbortController(),
      silenceTimeoutMs: 60_000,
      onEvent() {
        if (count === 0) setImmediate(countTurn)
        count++
        work()
      },
    },
  )
  await feed.terminate()
  expect(count).toBe(EVENTS)
  expect(turns).toBeGreaterThanOrEqual(EVENTS / 5)
})

test.each([
  [503, '7', 7_000],
  [429, '60', 60_000],
  [503, 'Wed, 21 Oct 2026 07:28:00 GMT', undefined],
  [503, undefined, undefined],
])(
  'the error of a response with status %i and `Retry-After: %s` has the delay %s',
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
