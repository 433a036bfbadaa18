import type { ServerResponse } from 'node:http'
import { afterEach, describe, expect, test } from 'vitest'
import type { LastLogoutClient } from '../../src/client/index.js'
import type { LastLogoutClientOptions } from '../../src/client/options.js'
import { openClient } from '../_support/client.js'
import {
  eventText,
  freshnessData,
  openScriptedFeed,
  type ScriptedFeed,
} from '../_support/scripted-feed.js'

let feed: ScriptedFeed
let client: LastLogoutClient
afterEach(async () => {
  await client.close()
  await feed.close()
})

const claims = { sub: 'auth0|1', iat: Math.floor(Date.now() / 1000) - 60 }
/** Sends an empty load: the event that ends a load, without a logout before it. */
const sendLoad = (response: ServerResponse) =>
  void response.write(eventText('freshness', freshnessData(Date.now()), 'f.1'))

function open(options: Partial<LastLogoutClientOptions> = {}) {
  client = openClient(feed.url, { connect: 'lazy', ...options })
}

/**
 * Connects another client, then closes it. Its connection is in `feed.queries`. An earlier connection of the lazy
 * client would be there, too.
 */
async function connectEagerClient(): Promise<void> {
  const eager = openClient(feed.url)
  await eager.ready()
  await eager.close()
}

describe("a client with connect: 'lazy'", () => {
  test('a lazy client connects with the first check, and this check waits for the load', async () => {
    feed = await openScriptedFeed((response) => void setTimeout(() => sendLoad(response), 100))
    open({ timeoutMs: 10_000 })
    await connectEagerClient()
    expect(feed.queries).toHaveLength(1)
    const decisions = await Promise.all([client.check(claims), client.check(claims)])
    expect(decisions.map(({ outcome }) => outcome)).toEqual(['accepted', 'accepted'])
    expect(feed.queries).toHaveLength(2)
  })

  test('a lazy client waits for the load only once, and at most timeoutMs', async () => {
    feed = await openScriptedFeed(() => {})
    open({ timeoutMs: 300 })
    const startedAt = performance.now()
    expect((await client.check(claims)).reason).toBe('not_loaded')
    const firstCheckMs = performance.now() - startedAt
    expect(firstCheckMs).toBeGreaterThan(290)
    for (let n = 0; n < 20; n++) expect((await client.check(claims)).reason).toBe('not_loaded')
    // If every check waited, the checks would take twenty times as long.
    expect(performance.now() - startedAt).toBeLessThan(firstCheckMs + 3_000)
  })

  test('a lazy client does not connect for a machine token', async () => {
    feed = await openScriptedFeed(sendLoad)
    open()
    const decision = await client.check({ sub: 'orders@clients', iat: claims.iat })
    expect(decision).toMatchObject({ allowed: true, reason: 'machine_token' })
    await connectEagerClient()
    expect(feed.queries).toHaveLength(1)
  })

  test('a lazy client does not connect after it was closed', async () => {
    feed = await openScriptedFeed(sendLoad)
    open()
    await client.close()
    expect((await client.check(claims)).reason).toBe('not_loaded')
    expect(client.checkNow(claims).reason).toBe('not_loaded')
    await connectEagerClient()
    expect(feed.queries).toHaveLength(1)
  })

  test('a lazy client connects with `ready` and with `checkNow`', async () => {
    feed = await openScriptedFeed(sendLoad)
    open()
    await client.ready()
    expect(client.checkNow(claims).outcome).toBe('accepted')
    await client.close()
    open()
    expect(client.checkNow(claims).reason).toBe('not_loaded')
    await expect.poll(() => client.checkNow(claims).outcome).toBe('accepted')
  })
})
