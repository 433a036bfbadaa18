import { once } from 'node:events'
import { get } from 'node:http'
import { expect, onTestFinished, test } from 'vitest'
import { LastLogoutError } from '../../src/errors.js'
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
