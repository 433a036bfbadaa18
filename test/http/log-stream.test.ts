import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { abortedError, LastLogoutError } from '../../src/errors.js'
import type { LogStream } from '../../src/http/log-stream.js'
import type { LastLogoutStore } from '../../src/ports.js'
import { syntheticLogId } from '../../src/rules/log-id.js'
import { buildEntry } from '../../src/simulator/entries.js'
import { receive } from '../../src/sync/receive.js'
import { bearer, keys, listenOnLoopback, openApi } from '../_support/api.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { KEY, serveApi } from '../_support/served-api.js'
import { openTestStore, readUserIds } from '../_support/store.js'

const TOKEN = 'the-token-of-the-log-stream-of-32-or-more'
const URL_PATH = '/v1/log-stream'

let database: TestDatabase
let store: LastLogoutStore & { close(): Promise<void> }
let app: Awaited<ReturnType<typeof openApi>>
beforeAll(async () => {
  database = await createTestDatabase()
  store = await openTestStore(database)
})
afterAll(async () => {
  await store.close()
  await database.drop()
})

const LOGOUT_TYPES = new Set(['slo'])
/** Opens an API with a log stream. By default, its receiver stores the entries. */
const openStreamApi = (
  receiver: LogStream['receive'] = (body, signal) =>
    receive({ store, types: LOGOUT_TYPES }, body, signal),
): ReturnType<typeof openApi> =>
  openApi({ ...store, logStream: { token: TOKEN, receive: receiver } })
beforeEach(async () => {
  app = await openStreamApi()
})
afterEach(async () => {
  await app.close()
  await database.query('TRUNCATE last_logout, session_logout, unattributable')
})

/** Posts a batch: the body of one delivery of the log stream. */
const send = async (
  payload: string,
  headers: Record<string, string> = { authorization: TOKEN, 'content-type': 'application/json' },
  api = app,
) => api.inject({ method: 'POST', url: URL_PATH, headers, payload })

/** Returns a line of the log stream: a logout of a user. */
const createLine = (userId: string) => {
  const entry = { ...buildEntry('slo', { userId }), log_id: syntheticLogId(Date.now() - 1_000) }
  return JSON.stringify({ log_id: entry.log_id, data: entry })
}
const readUsers = () => readUserIds(database)

describe('POST /v1/log-stream', () => {
  test('the API responds with 204 when the entries are stored', async () => {
    const response = await send(`${createLine('auth0|1')}\n${createLine('auth0|2')}`)
    expect(response.statusCode).toBe(204)
    expect(response.body).toBe('')
    expect(await readUsers()).toEqual(['auth0|1', 'auth0|2'])
  })

  test('the API responds only after the receiver has stored the entries', async () => {
    let isStored = false
    const slowApi = await openStreamApi(async () => {
      await new Promise((resolve) => setTimeout(resolve, 50))
      isStored = true
      return 'stored'
    })
    expect((await send(createLine('auth0|1'), undefined, slowApi)).statusCode).toBe(204)
    expect(isStored).toBe(true)
    await slowApi.close()
  })

  test.each([
    ['application/json', 'application/json'],
    ['application/json; charset=utf-8', 'application/json; charset=utf-8'],
    ['application/x-ndjson', 'application/x-ndjson'],
    ['text/plain', 'text/plain'],
    ['application/x-www-form-urlencoded', 'application/x-www-form-urlencoded'],
    ['json', 'json'],
    ['application/json, application/json', 'application/json, application/json'],
    ['an empty text', ''],
    ['none', undefined],
  ])('the API reads JSON lines of the content type %s', async (_case, type) => {
    const headers = {
      authorization: TOKEN,
      ...(type !== undefined && { 'content-type': type }),
    }
    const response = await send(`${createLine('auth0|1')}\n${createLine('auth0|2')}\n`, headers)
    expect(response.statusCode).toBe(204)
    expect(await readUsers()).toEqual(['auth0|1', 'auth0|2'])
  })

  test('the API counts a malformed line as unattributable, because it may be a logout, and responds with 204', async () => {
    expect((await send('nonsense')).statusCode).toBe(204)
    expect((await send('')).statusCode).toBe(204)
    await expect(store.count()).resolves.toMatchObject({ unattributable: { malformed: 1 } })
  })

  test('the API responds with 503 while the database is unavailable, so that Auth0 retries', async () => {
    const unavailableApi = await openStreamApi(() =>
      Promise.reject(new LastLogoutError('DATABASE_UNAVAILABLE', 'unavailable')),
    )
    const response = await send(createLine('auth0|person'), undefined, unavailableApi)
    expect(response.statusCode).toBe(503)
    expect(response.headers['retry-after']).toBe('1')
    expect(unavailableApi.logLines.join()).not.toContain('person')
    await unavailableApi.close()
  })

  test('the API accepts ten megabytes, and rejects more with 413 and a warning', async () => {
    // Spaces fill the body up to exactly ten megabytes.
    const filler = ' '.repeat(10 * 1024 * 1024 - createLine('auth0|1').length)
    expect((await send(createLine('auth0|1') + filler)).statusCode).toBe(204)
    expect(await readUsers()).toEqual(['auth0|1'])
    expect(app.logLines.join()).not.toContain('too large')
    const oneByteMore = ' '
    const response = await send(createLine('auth0|2') + filler + oneByteMore)
    expect(response.statusCode).toBe(413)
    expect(response.json()).toMatchObject({ statusCode: 413, error: 'Payload Too Large' })
    expect(app.logLines.join()).toContain('log stream batch too large')
    expect(await readUsers()).toEqual(['auth0|1'])
  })

  test('the API rejects more than ten thousand entries with 413 and a warning', async () => {
    expect((await send('x\n'.repeat(10_001))).statusCode).toBe(413)
    expect(app.logLines.join()).toContain('log stream batch too large')
    expect(await database.query('SELECT id FROM unattributable')).toEqual([])
  })

  test.each(['identity', 'Identity', 'IDENTITY'])(
    'the API accepts Content-Encoding: %s',
    async (encoding) => {
      const headers = { authorization: TOKEN, 'content-encoding': encoding }
      expect((await send(createLine('auth0|1'), headers)).statusCode).toBe(204)
    },
  )

  test('the API rejects a compressed body with 415, and logs one warning', async () => {
    const headers = { authorization: TOKEN, 'content-encoding': 'gzip' }
    // The first bytes of gzip.
    const response = await send('\u001f\u008b', headers)
    expect(response.statusCode).toBe(415)
    expect(response.json().message).toContain('compressed')
    expect((await send('\u001f\u008b', headers)).statusCode).toBe(415)
    const warnings = app.logLines.filter((line) => line.includes('log stream batch compressed'))
    expect(warnings).toHaveLength(1)
    await expect(store.count()).resolves.toMatchObject({ unattributable: {} })
  })
})

describe('concurrent batches', () => {
  const selectWarnings = (lines: string[]) => lines.filter((text) => JSON.parse(text).level >= 40)

  /** Opens the API with a receiver that runs until `finish` is called. Records the batches that are running. */
  async function openSlowApi() {
    const batches = { running: [] as string[], maxRunning: 0 }
    let finish = () => {}
    const whenFinished = new Promise<void>((resolve) => {
      finish = resolve
    })
    const slowApi = await openStreamApi(async (body, signal) => {
      batches.running.push(body)
      batches.maxRunning = Math.max(batches.maxRunning, batches.running.length)
      const whenAborted = new Promise((_, reject) =>
        signal.addEventListener('abort', () => reject(abortedError())),
      )
      await Promise.race([whenFinished, whenAborted]).finally(() => batches.running.shift())
      return 'stored'
    })
    return { slowApi, batches, finish }
  }

  test('the API stores batches one after the other, and rejects a batch with 503 while five are being stored or wait', async () => {
    const { slowApi, batches, finish } = await openSlowApi()
    const fiveBatches = ['1', '2', '3', '4', '5'].map((body) => send(body, undefined, slowApi))
    const sixthResponse = await send('6', undefined, slowApi)
    expect(sixthResponse.statusCode).toBe(503)
    expect(sixthResponse.headers['retry-after']).toBe('1')
    await expect.poll(() => batches.running).toEqual(['1'])
    finish()
    expect((await Promise.all(fiveBatches)).map(({ statusCode }) => statusCode)).toEqual(
      Array(5).fill(204),
    )
    expect(batches.maxRunning).toBe(1)
    expect((await send('7', undefined, slowApi)).statusCode).toBe(204)
    expect(selectWarnings(slowApi.logLines)).toEqual([])
    await slowApi.close()
  })

  test('a batch is aborted when its client disconnects, and the next batch is received', async () => {
    const { slowApi, batches, finish } = await openSlowApi()
    const url = (await listenOnLoopback(slowApi)) + URL_PATH
    // More batches than may be in progress or wait: an aborted batch must not occupy a place.
    for (let count = 0; count < 7; count++) {
      const client = new AbortController()
      const headers = { authorization: TOKEN }
      const response = fetch(url, { method: 'POST', headers, body: 'x', signal: client.signal })
      await expect.poll(() => batches.running).toHaveLength(1)
      client.abort()
      await expect(response).rejects.toThrow()
      await expect.poll(() => batches.running).toEqual([])
    }
    finish()
    expect((await send('x', undefined, slowApi)).statusCode).toBe(204)
    expect(selectWarnings(slowApi.logLines)).toEqual([])
    await slowApi.close()
  })

  test('batches are aborted with 503 when the service stops, so that Auth0 retries', async () => {
    const { slowApi, batches } = await openSlowApi()
    const twoBatches = [send('1', undefined, slowApi), send('2', undefined, slowApi)]
    await expect.poll(() => batches.running).toEqual(['1'])
    await slowApi.close()
    for (const response of await Promise.all(twoBatches)) expect(response.statusCode).toBe(503)
    expect(batches.running).toEqual([])
    expect(selectWarnings(slowApi.logLines)).toEqual([])
  })
})

describe('the token of the log stream', () => {
  test.each([
    ['alone', TOKEN],
    ['as a bearer token', `Bearer ${TOKEN}`],
    ['as a bearer token in lower case', `bearer ${TOKEN}`],
  ])('the API accepts the token that is sent %s (pitfall 32)', async (_case, authorization) => {
    expect((await send(createLine('auth0|1'), { authorization })).statusCode).toBe(204)
  })

  test('the API accepts a token that begins with the word Bearer', async () => {
    const token = `Bearer ${TOKEN}`
    const otherApi = await openApi({
      ...store,
      logStream: { token, receive: async () => 'stored' },
    })
    expect((await send('', { authorization: token }, otherApi)).statusCode).toBe(204)
    expect((await send('', { authorization: TOKEN }, otherApi)).statusCode).toBe(401)
    await otherApi.close()
  })

  test.each([
    ['no Authorization header', {}, 401],
    ['another token', { authorization: `${TOKEN.slice(0, -1)}x` }, 401],
    ['a prefix of the token', { authorization: TOKEN.slice(0, -1) }, 401],
    ['the token with a suffix', { authorization: `${TOKEN}x` }, 401],
    ['an empty token', { authorization: 'Bearer ' }, 401],
    ['the token as a password', { authorization: `Basic ${btoa(`me:${TOKEN}`)}` }, 401],
    ['a key of API_KEYS', bearer(keys.logout), 403],
  ])(
    'the API rejects a request with %s, and stores nothing (pitfall 32)',
    async (_case, headers, statusCode) => {
      const response = await send(createLine('auth0|1'), headers)
      expect(response.statusCode).toBe(statusCode)
      expect(response.json()).toMatchObject({ statusCode, message: expect.any(String) })
      expect(await readUsers()).toEqual([])
    },
  )

  test.each(['/v1/users/x/last-logout', '/v1/changes', '/openapi.json', '/docs/', '/nothing'])(
    'the API rejects the token of the log stream at %s',
    async (url) => {
      expect((await app.inject({ url, headers: { authorization: TOKEN } })).statusCode).toBe(401)
      expect(
        (await app.inject({ url, headers: bearer({ ...keys.reader, key: TOKEN }) })).statusCode,
      ).toBe(401)
    },
  )

  test('the API does not log the token', async () => {
    const failingApp = await openStreamApi(() => Promise.reject(new Error('internal detail')))
    expect((await send(createLine('auth0|person'), undefined, failingApp)).statusCode).toBe(500)
    expect(failingApp.logLines.join()).toContain('internal detail')
    expect(failingApp.logLines.join()).not.toContain(TOKEN)
    expect(failingApp.logLines.join()).not.toContain('person')
    await failingApp.close()
  })
})

describe('without LOG_STREAM_TOKEN', () => {
  test('the path of the log stream does not exist, but a caller without a valid key gets the same response as if it existed', async () => {
    const appWithoutStream = await openApi(store)
    expect((await send('', bearer(keys.logout), appWithoutStream)).statusCode).toBe(404)
    for (const headers of [
      {},
      { authorization: TOKEN.toUpperCase() },
      bearer({ ...keys.reader, key: 'x' }),
    ]) {
      const responses = [await send('', headers, appWithoutStream), await send('', headers)]
      const [responseWithoutStream, responseWithStream] = responses.map((response) => ({
        status: response.statusCode,
        body: response.body,
        challenge: response.headers['www-authenticate'],
      }))
      expect(responseWithoutStream).toEqual(responseWithStream)
    }
    await appWithoutStream.close()
  })

  test('/openapi.json does not contain the path of the log stream', async () => {
    const appWithoutStream = await openApi(store)
    const readDocument = async (api: typeof app) =>
      (await api.inject({ url: '/openapi.json', headers: bearer(keys.reader) })).json()
    expect((await readDocument(appWithoutStream)).paths).not.toHaveProperty([URL_PATH])
    expect((await readDocument(app)).paths).toHaveProperty([URL_PATH])
    await appWithoutStream.close()
  })
})

test('`last-logout api` serves the log stream if LOG_STREAM_TOKEN is set, with the configured event types', async () => {
  const freshDatabase = await createTestDatabase()
  const api = await serveApi(freshDatabase, { LOG_STREAM_TOKEN: TOKEN, EVENT_TYPES: 'scp' })
  // `scp` is the change of a password. By default, it does not count as a logout.
  const passwordChange = {
    ...buildEntry('scp', { userId: 'auth0|pw' }),
    log_id: syntheticLogId(Date.now()),
  }
  const post = (authorization: string) =>
    fetch(`${api.url}${URL_PATH}`, {
      method: 'POST',
      headers: { authorization },
      body: JSON.stringify(passwordChange),
    })
  expect((await post(KEY)).status).toBe(401)
  expect((await post(TOKEN)).status).toBe(204)
  const userResponse = await fetch(`${api.url}/v1/users/auth0%7Cpw/last-logout`, {
    headers: { authorization: `Bearer ${KEY}` },
  })
  expect(await userResponse.json()).toMatchObject({
    last_logout_at: expect.any(String),
    as_of: null,
  })
  await api.close()
  await freshDatabase.drop()
})
