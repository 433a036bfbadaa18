import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { promisify } from 'node:util'
import { beforeAll, expect, onTestFinished, test } from 'vitest'
import { WebSocket } from 'ws'
import { serveOrderSocket } from '../../src/demo/live-connections.js'
import { openServer } from '../../src/demo/open-server.js'
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

/** Serves the WebSocket until the test ends. */
async function openSocketServer() {
  const { client } = await openControlledFeed()
  const { server, url, close } = await openServer(0)
  serveOrderSocket(server, { issuer, client })
  let closing: Promise<void> | undefined
  const closeOnce = () => {
    closing ??= close()
    return closing
  }
  onTestFinished(closeOnce)
  return { server, url, close: closeOnce }
}

/** Serves the WebSocket. Returns a function that connects, and records what it receives. */
async function openSockets() {
  const { url } = await openSocketServer()
  return (token: string, path = '/live/socket') => {
    const socket = new WebSocket(`${url.replace('http', 'ws')}${path}`, ['orders', token])
    const events: string[] = []
    socket.on('open', () => events.push('open'))
    socket.on('close', (code) => events.push(`closed ${code}`))
    socket.on('unexpected-response', (_request, { statusCode }) => {
      events.push(`refused ${statusCode}`)
      socket.terminate()
    })
    // A connection that is terminated before it is established emits an error.
    socket.on('error', () => {})
    return { socket, events }
  }
}

test('the WebSocket of the demo accepts a verified token, and no other request', async () => {
  const connectWith = await openSockets()
  const token = await t.signAccessToken({ iss: issuer })
  const accepted = connectWith(token)
  await expect.poll(() => accepted.events, WAIT).toEqual(['open'])
  expect(accepted.socket.protocol).toBe('orders')

  const [header, payload, signature = ''] = token.split('.')
  const forged = [header, payload, signature.split('').reverse().join('')].join('.')
  for (const refused of [
    connectWith(forged),
    connectWith(await t.signAccessToken({ iss: 'https://other.example/' })),
    connectWith(await t.signAccessToken({ iss: issuer, exp: nowSeconds() - 1 })),
    connectWith(await t.signIdToken({ iss: issuer })),
    connectWith(token, '/live/other'),
  ]) {
    await expect.poll(() => refused.events, WAIT).toContain('refused 401')
  }
})

test('a message that is too long closes the connection, and the demo continues', async () => {
  const connectWith = await openSockets()
  const { socket, events } = connectWith(await t.signAccessToken({ iss: issuer }))
  await expect.poll(() => events, WAIT).toEqual(['open'])
  socket.send('x'.repeat(10_000))
  await expect.poll(() => events, WAIT).toEqual(['open', 'closed 1009'])
  const other = connectWith(await t.signAccessToken({ iss: issuer }))
  await expect.poll(() => other.events, WAIT).toEqual(['open'])
})

test('a refused upgrade ends the connection, even if the client does not', async () => {
  const { server, url } = await openSocketServer()
  const connection = connectHalfOpen(url)
  let response = ''
  connection.on('data', (data) => {
    response += data
  })
  connection.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n')
  await once(connection, 'end')
  expect(response).toMatch(/^HTTP\/1.1 401 .*\r\nConnection: close\r\n/)
  const countConnections = promisify(server.getConnections.bind(server))
  await expect.poll(() => countConnections(), WAIT).toBe(0)
})

test('the server of the WebSocket closes while connections are open', async () => {
  const { url, close } = await openSocketServer()
  const token = await t.signAccessToken({ iss: issuer })
  const socket = new WebSocket(`${url.replace('http', 'ws')}/live/socket`, ['orders', token])
  await Promise.all([once(socket, 'open'), once(connectHalfOpen(url), 'connect')])
  const closed = once(socket, 'close')
  await close()
  const [code] = await closed
  expect(code).toBe(1006)
})

/** Connects to a server, and keeps the connection open when the server ends it. */
function connectHalfOpen(url: string): Socket {
  const { hostname, port } = new URL(url)
  const connection = connect({ host: hostname, port: Number(port), allowHalfOpen: true })
  connection.on('error', () => {})
  onTestFinished(() => void connection.destroy())
  return connection
}
