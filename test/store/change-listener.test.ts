import { connect, createServer, type Socket } from 'node:net'
import { pino } from 'pino'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createChangeListener } from '../../src/store/change-listener.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { openLoopback } from '../_support/loopback.js'

// A change listener keeps a database connection with LISTEN, and calls its subscribers after each change.

/** A close that waits for the unresponsive server never ends, and fails the test by this timeout. */
const TEST_TIMEOUT_MS = 10_000

let database: TestDatabase
beforeEach(async () => {
  database = await createTestDatabase()
})
afterEach(() => database.drop())

test(
  'a change listener closes even if the server no longer responds',
  async () => {
    const { url, freeze, close } = await openFreezableProxy(database.url)
    const listener = createChangeListener(url, pino({ level: 'silent' }))
    let calls = 0
    listener.subscribe(() => {
      calls++
    })
    // The listener calls its subscribers once it listens.
    await expect.poll(() => calls).toBeGreaterThan(0)
    freeze()
    await listener.close()
    await close()
  },
  TEST_TIMEOUT_MS,
)

/**
 * Opens a proxy to the server of `databaseUrl`, and returns the URL of the database through the proxy. After `freeze`,
 * the proxy forwards nothing, and keeps its side of each connection open when the other side closes it.
 */
async function openFreezableProxy(databaseUrl: string) {
  const proxyUrl = new URL(databaseUrl)
  const sockets: Socket[] = []
  const { hostname, port } = proxyUrl
  const server = createServer({ allowHalfOpen: true }, (client) => {
    const upstream = connect({ port: Number(port), host: hostname, allowHalfOpen: true })
    client.pipe(upstream).pipe(client)
    client.once('close', () => upstream.destroy())
    // Without a listener, an error of a socket would end the process.
    for (const socket of [client, upstream]) sockets.push(socket.on('error', () => {}))
  })
  const { port: proxyPort, close } = await openLoopback(server)
  proxyUrl.port = `${proxyPort}`
  return {
    url: proxyUrl.href,
    freeze() {
      for (const socket of sockets) socket.unpipe().pause()
    },
    close,
  }
}
