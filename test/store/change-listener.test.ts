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

test('the change listener closes within its grace period if the server is unresponsive', async () => {
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

/** Opens a proxy to the server. After `freeze`, the proxy reads nothing, not even the end of a connection. */
async function openFreezableProxy(target: string) {
  const url = new URL(target)
  const sockets: Socket[] = []
  const { hostname, port } = url
  const server = createServer({ allowHalfOpen: true }, (near) => {
    const far = connect({ port: Number(port), host: hostname, allowHalfOpen: true })
    near.pipe(far).pipe(near)
    near.once('close', () => far.destroy())
    for (const socket of [near, far]) sockets.push(socket.on('error', () => {}))
  })
  const { port: ownPort, close } = await openLoopback(server)
  url.port = `${ownPort}`
  return {
    url: url.href,
    freeze() {
      for (const socket of sockets) socket.unpipe().pause()
    },
    close,
  }
}
