import { once } from 'node:events'
import { get } from 'node:http'
import Fastify from 'fastify'
import { expect, onTestFinished, test } from 'vitest'
import { LastLogoutError } from '../../src/errors.js'
import { sendPages } from '../../src/http/send-pages.js'
import type { ChangesPage } from '../../src/rules/change-feed.js'
import { bearer, keys, listenOnLoopback, openApi } from '../_support/api.js'

const PAGE: ChangesPage = { changes: [], cursor: 'c', asOf: null, now: 0, more: false }
/** Levels of pino. */
const [DEBUG, ERROR] = [20, 50]

const failIfCalled = async () => {
  throw new Error('not called')
}

test.each([
  [
    'an outage, which the store has already logged',
    DEBUG,
    new LastLogoutError('DATABASE_UNAVAILABLE', 'the database is unavailable'),
  ],
  ['any other failure', ERROR, new Error('the page is unreadable')],
])(
  'a stream whose pages fail has no regular end, and logs %s with level %i',
  async (_case, level, error) => {
    let wake = () => {}
    const pages = [async () => PAGE, async () => Promise.reject(error)]
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
    const [response] = await once(get(`${url}/v1/changes`, { headers }), 'response')
    const readAll = async () => {
      for await (const chunk of response) if (String(chunk).includes('freshness')) wake()
    }
    await expect(readAll()).rejects.toThrow('aborted')
    expect(response.complete).toBe(false)
    const failures = app.logLines
      .map((line) => JSON.parse(line))
      .filter(({ msg }) => msg === 'event stream failed')
    expect(failures).toMatchObject([
      { level, route: '/v1/changes', err: { message: error.message } },
    ])
  },
)

test.each([
  ['before the first page', 'close'],
  ['while it receives pages', 'data'],
])('the pages end if the subscriber leaves %s', async (_case, leaveAt) => {
  let hasEnded = false
  async function* createPages() {
    try {
      for (;;) yield PAGE
    } finally {
      hasEnded = true
    }
  }
  const app = Fastify()
  onTestFinished(() => app.close())
  app.get('/', async (_request, reply) => {
    if (leaveAt === 'close') await once(reply.raw, 'close')
    await sendPages(reply, {
      first: PAGE,
      next: createPages(),
      format: () => Buffer.alloc(1_000_000),
      writeTimeoutMs: 60_000,
    })
  })
  const url = await listenOnLoopback(app)
  const request = get(url)
  request.on('error', () => {})
  if (leaveAt === 'close') await once(app.server, 'request')
  else {
    const [response] = await once(request, 'response')
    response.on('error', () => {})
    await once(response, 'data')
  }
  expect(hasEnded).toBe(false)
  request.destroy()
  await expect.poll(() => hasEnded).toBe(true)
})
