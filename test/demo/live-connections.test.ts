import { beforeAll, expect, onTestFinished, test } from 'vitest'
import { WebSocket } from 'ws'
import { serveOrderSocket } from '../../src/demo/live-connections.js'
import { openControlledFeed } from '../_support/controlled-feed.js'
import { nowSeconds, openTenantTokens, type TenantTokens } from '../_support/tenant-tokens.js'
import { WAIT } from '../_support/wait.js'

let t: TenantTokens
let issuer: string
beforeAll(async () => {
  t = await openTenantTokens()
  issuer = `${new URL(t.keySet.url).origin}/`
  return () => t.close()
})

/** Serves the WebSocket until the test ends. Returns a function that connects, and records the received messages. */
async function openSockets() {
  const { client } = await openControlledFeed()
  const { url, close } = await serveOrderSocket({ issuer, client })
  onTestFinished(close)
  return (token: string) => {
    const socket = new WebSocket(url, ['orders', token])
    const events: string[] = []
    socket.on('open', () => events.push('open'))
    socket.on('close', (code) => events.push(`closed ${code}`))
    // A connection that is terminated before it is established emits an error.
    socket.on('error', () => {})
    return { socket, events }
  }
}

test('the WebSocket of the demo accepts a verified token only', async () => {
  const connect = await openSockets()
  const token = await t.signAccessToken({ iss: issuer })
  const accepted = connect(token)
  await expect.poll(() => accepted.events, WAIT).toEqual(['open'])
  expect(accepted.socket.protocol).toBe('orders')

  const [header, payload, signature = ''] = token.split('.')
  const forged = [header, payload, signature.split('').reverse().join('')].join('.')
  for (const refused of [
    connect(forged),
    connect(await t.signAccessToken({ iss: 'https://other.example/' })),
    connect(await t.signAccessToken({ iss: issuer, exp: nowSeconds() - 1 })),
    connect(await t.signIdToken({ iss: issuer })),
  ]) {
    await expect.poll(() => refused.events, WAIT).toEqual(['open', 'closed 4401'])
  }
  expect(accepted.events).toEqual(['open'])
})

test('a message that is too long closes the connection, and the demo continues', async () => {
  const connect = await openSockets()
  const { socket, events } = connect(await t.signAccessToken({ iss: issuer }))
  await expect.poll(() => events, WAIT).toEqual(['open'])
  socket.send('x'.repeat(10_000))
  await expect.poll(() => events, WAIT).toEqual(['open', 'closed 1009'])
  const other = connect(await t.signAccessToken({ iss: issuer }))
  await expect.poll(() => other.events, WAIT).toEqual(['open'])
})
