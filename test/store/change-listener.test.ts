import { connect, createServer, type Socket } from 'node:net'
import { pino } from 'pino'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createChangeListener } from '../../src/store/change-listener.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { openLoopback } from '../_support/loopback.js'

let database: TestDatabase
beforeEach(async () => {
  database = await createTestDatabase()
})
afterEach(() => database.drop())

test('close of the change listener ends within its grace period if the server is unresponsive', async () => {
  const { url, freeze, close } = await openFreezableProxy(database.url)
  const listener = createChangeListener(url, pino({ level: 'silent' }))
  let changes = 0
  listener.subscribe(() => {
    changes++
  })
  await expect.poll(() => changes).toBeGreaterThan(0)
  freeze()
  await listener.close()
  await close()
}, 10_000)

/**
 * Opens a proxy to the server. After `freeze`, the proxy reads no data, and does not detect that a connection was
 * closed.
 */
async function openFreezableProxy(target: string) {
  const url = new URL(target)
  const sockets: Socket[] = []
  const { hostname, port } = url
  const server = createServer({ allowHalfOpen: true }, (client) => {
    const upstream = connect({ port: Number(port), host: hostname, allowHalfOpen: true })
    client.pipe(upstream).pipe(client)
    client.once('close', () => upstream.destroy())
    for (const socket of [client, upstream]) sockets.push(socket.on('error', () => {}))
  })
  const { port: proxyPort, close } = await openLoopback(server)
  url.port = `${proxyPort}`
  return {
    url: url.href,
    freeze() {
      for (const socket of sockets) socket.unpipe().pause()
    },
    close,
  }
}
