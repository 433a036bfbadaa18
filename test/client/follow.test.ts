import type { ServerResponse } from 'node:http'
import { afterEach, describe, expect, test } from 'vitest'
import type { LastLogoutClient } from '../../src/client/index.js'
import type { LastLogoutClientOptions } from '../../src/client/options.js'
import { openClient } from '../_support/client.js'
import { event, freshness, openScriptedFeed, type ScriptedFeed } from '../_support/scripted-feed.js'

const NOW = Date.now()
const at = new Date(NOW - 60_000).toISOString()
const logout = (user_id: string) => ({
  kind: 'user',
  user_id,
  at,
  all_sessions_at: at,
  type: 'slo',
})
const login = (sub: string) => ({ sub, iat: Math.floor(NOW / 1000) - 3_600 })

let feed: ScriptedFeed
let client: LastLogoutClient
let errors: Error[]
afterEach(async () => {
  await client.close()
  await feed.close()
})

function open(options: Partial<LastLogoutClientOptions> = {}): void {
  errors = []
  client = openClient(feed.url, {
    onError: (error) => void errors.push(error as Error),
    ...options,
  })
}

describe('following the feed', () => {
  test('a load that is cut off goes on where it was, and is whole when it is done (P29)', async () => {
    feed = await openScriptedFeed(
      (response) => {
        response.write(event('change', logout('auth0|1'), 'f.1'), () => response.destroy())
      },
      (response) => {
        response.write(event('change', logout('auth0|2'), 'f.2'))
        response.write(event('freshness', freshness(NOW), 'f.2'))
      },
    )
    open()
    await client.ready()
    expect(feed.asked.map((query) => query.get('after'))).toEqual([null, 'f.1'])
    expect(feed.asked[1]?.get('since')).toBe(feed.asked[0]?.get('since'))
    for (const user of ['auth0|1', 'auth0|2']) {
      expect(client.checkNow(login(user)).outcome).toBe('revoked')
    }
    expect(client.checkNow(login('auth0|3')).outcome).toBe('accepted')
  })

  test('a reset that is cut off is a reset all the same', async () => {
    feed = await openScriptedFeed(
      (response) => {
        response.write(event('freshness', freshness(NOW), 'f.9'))
        response.write(event('reset', {}, ''), () => response.destroy())
      },
      (response) => response.write(event('freshness', freshness(NOW), 'g.1')),
    )
    open()
    await expect.poll(() => feed.asked.length).toBe(2)
    expect(feed.asked[1]?.get('after')).toBeNull()
  })

  test('freshness that goes back is a database that was set back: everything is loaded anew', async () => {
    feed = await openScriptedFeed(
      (response) =>
        response.write(
          event('freshness', freshness(NOW), 'f.9') +
            event('freshness', freshness(NOW - 5_000), 'f.4') +
            event('freshness', freshness(NOW - 4_000), 'f.5'),
        ),
      (response) => response.write(event('freshness', freshness(NOW - 4_000), 'f.5')),
    )
    open()
    await expect.poll(() => feed.asked.length).toBe(2)
    expect(feed.asked[1]?.get('after')).toBeNull()
    await expect.poll(() => client.checkNow(login('auth0|1')).asOf).toBe(NOW - 4_000)
  })

  test('a reload is no error, a connection that breaks off is', async () => {
    feed = await openScriptedFeed((response) => {
      const tell = () => response.write(event('freshness', freshness(Date.now()), 'f.1'))
      tell()
      const ticking = setInterval(tell, 50)
      response.on('close', () => clearInterval(ticking))
    })
    open({ reloadIntervalMs: 100 })
    await expect.poll(() => feed.asked.length).toBeGreaterThan(3)
    expect(errors).toEqual([])
    await feed.close()
    await expect.poll(() => errors.length).toBeGreaterThan(0)
    expect(errors[0]).toMatchObject({ code: 'UNAVAILABLE' })
    feed = await openScriptedFeed()
  })
})

test('an answer that was long on its way takes back nothing that the feed told meanwhile (P30)', async () => {
  const answers: ServerResponse[] = []
  feed = await openScriptedFeed((response) => {
    answers.push(response)
    if (answers.length === 1) response.write(event('freshness', freshness(NOW), 'f.1'))
  })
  open({ timeoutMs: 20_000 })
  await client.ready()
  const old = { sub: 'auth0|1', iat: Math.floor(NOW / 1000) - 40 * 86_400 }
  const checked = client.check(old)
  await expect.poll(() => answers.length).toBe(2)
  const [following, asked] = answers
  following?.write(event('change', logout('auth0|1'), 'f.2'))
  await expect.poll(() => client.checkNow(old).outcome).toBe('revoked')
  const none = { last_logout_at: null, all_sessions_at: null, session: null, floor_at: null }
  asked?.end(JSON.stringify({ ...freshness(NOW), ...none }))
  expect(await checked).toMatchObject({ outcome: 'revoked', reason: 'all_sessions_logout' })
})

describe('freshness', () => {
  const stale = async (data: object) => {
    feed = await openScriptedFeed((response) => response.write(event('freshness', data, 'f.1')))
    open({ maxStalenessMs: 3_000 })
    await expect.poll(() => client.checkNow(login('auth0|1')).reason).toBe('stale')
  }

  test('is not what the service said when that was long on its way, or its clock is behind', () =>
    stale(freshness(Date.now() - 8_000)))

  test.each([
    ['is missing', { lag_ms: undefined }],
    ['is a text', { lag_ms: '0' }],
    ['is negative', { lag_ms: -1_000_000 }],
    ['is null', { lag_ms: null }],
  ])('of an answer whose lag %s is none', (_what, over) => stale(freshness(Date.now(), over)))
})
