import { once } from 'node:events'
import { type ClientRequest, get, type IncomingMessage } from 'node:http'
import { setImmediate as nextTurn } from 'node:timers/promises'
import Fastify from 'fastify'
import { expect, onTestFinished, test } from 'vitest'
import { LastLogoutError } from '../../src/errors.js'
import { sendPages } from '../../src/http/send-pages.js'
import type { ChangesPage } from '../../src/rules/change-feed.js'
import { bearer, failIfCalled, keys, listenOnLoopback, openApi } from '../_support/api.js'

const PAGE: ChangesPage = { changes: [], cursor: 'c', asOf: null, now: 0, more: false }
/** Levels of pino. */
const [DEBUG, ERROR] = [20, 50]

test.each([
  [
    'an outage, which the store has already logged',
    DEBUG,
    new LastLogoutError('DATABASE_UNAVAILABLE', 'the database is unavailable'),
  ],
  ['any other failure', ERROR, new Error('the page is unreadable')],
])(
  'two streams whose shared page fails have no regular end, and log %s once, with level %i',
  async (_case, level, error) => {
    let wake = () => {}
    // Each subscriber reads a page of its own, and then both read the same page.
    const pages = [async () => PAGE, async () => PAGE, async () => Promise.reject(error)]
    const app = await openApi({
      readKnownLogouts: failIfCalled,
      readProgress: failIfCalled,
      storeReported: failIfCalled,
      readChanges: () => (pages.shift() ?? failIfCalled)(),
      subscribe: (onChange) => {
        wake = onChange
        return () => {}
      },
    })
    onTestFinished(() => app.close())
    const url = await listenOnLoopback(app)
    const headers = { ...bearer(keys.subscriber), accept: 'text/event-stream' }
    const responses = await Promise.all(
      [1, 2].map(() => responseOf(get(`${url}/v1/changes`, { headers }))),
    )
    await Promise.all(responses.map(receiveFreshness))
    const cuts = responses.map(
      (response) => new Promise((resolve) => response.on('close', resolve)),
    )
    wake()
    await Promise.all(cuts)
    expect(responses.map(({ complete }) => complete)).toEqual([false, false])
    const failures = app.logLines
      .map((line) => JSON.parse(line))
      .filter(({ msg }) => msg === 'event stream failed')
    expect(failures).toMatchObject([
      { level, route: '/v1/changes', err: { message: error.message } },
    ])
  },
)

/** Resolves when a response has received an event `freshness`. */
function receiveFreshness(response: IncomingMessage): Promise<void> {
  return new Promise((resolve) => {
    response.on('data', (chunk) => {
      if (String(chunk).includes('freshness')) resolve()
    })
  })
}

/** Starts a server that sends pages of a megabyte. `pagesRead` counts the pages after the first. */
async function servePages(options: { writeTimeoutMs: number; waitForClose?: boolean }) {
  const state = { pagesRead: 0, hasEnded: false }
  async function* createPages() {
    try {
      yield PAGE
      for (;;) {
        state.pagesRead++
        await nextTurn()
        yield PAGE
      }
    } finally {
      state.hasEnded = true
    }
  }
  const app = Fastify()
  onTestFinished(() => app.close())
  app.get('/', async (_request, reply) => {
    const next = createPages()
    const { value: first = null } = await next.next()
    if (options.waitForClose) await once(reply.raw, 'close')
    const format = () => Buffer.alloc(1_000_000)
    await sendPages(reply, { first, next, format, writeTimeoutMs: options.writeTimeoutMs })
  })
  const request = get(await listenOnLoopback(app))
  request.on('error', () => {})
  return { app, request, state }
}

async function responseOf(request: ClientRequest): Promise<IncomingMessage> {
  const [response] = await once(request, 'response')
  return response.on('error', () => {})
}

test('the pages end without a further page if the subscriber has left before the first page', async () => {
  const { app, request, state } = await servePages({ writeTimeoutMs: 60_000, waitForClose: true })
  await once(app.server, 'request')
  request.destroy()
  await expect.poll(() => state).toEqual({ pagesRead: 0, hasEnded: true })
})

test('the pages end if the subscriber leaves while it receives pages', async () => {
  const { request, state } = await servePages({ writeTimeoutMs: 60_000 })
  const response = await responseOf(request)
  await once(response, 'data')
  expect(state.hasEnded).toBe(false)
  request.destroy()
  await expect.poll(() => state.hasEnded).toBe(true)
})

test('a subscriber that reads nothing for the write timeout is disconnected', async () => {
  const { request, state } = await servePages({ writeTimeoutMs: 100 })
  const response = await responseOf(request)
  response.pause()
  await expect.poll(() => state.hasEnded).toBe(true)
})
