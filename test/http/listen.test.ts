import { once } from 'node:events'
import { type AddressInfo, connect } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { listen } from '../../src/http/listen.js'
import { failIfCalled, openApi } from '../_support/api.js'

/** Opens an API that allows two connections. The API is closed after the test. */
async function openApp() {
  const app = await openApi({
    readKnownLogouts: failIfCalled,
    readProgress: failIfCalled,
    readChanges: failIfCalled,
    storeReported: failIfCalled,
    maxConnections: 2,
  })
  onTestFinished(() => app.close())
  return app
}

test('an API that listens on localhost is reachable at both 127.0.0.1 and ::1', async () => {
  const app = await openApp()
  const url = new URL(await listen(app, { host: 'localhost', port: 0, variable: 'PORT' }))
  for (const host of ['127.0.0.1', 'localhost', '[::1]']) {
    url.hostname = host
    const response = await fetch(new URL('/health/live', url), { headers: { connection: 'close' } })
    expect([host, response.status]).toEqual([host, 200])
  }
  await app.close()
  await expect(fetch(url)).rejects.toThrow()
})

test('both addresses of localhost share one limit of connections', async () => {
  const app = await openApp()
  const { port } = new URL(await listen(app, { host: 'localhost', port: 0, variable: 'PORT' }))
  const connectTo = (host: string) => {
    const socket = connect(Number(port), host)
    onTestFinished(() => void socket.destroy())
    socket.on('error', () => {})
    return socket
  }
  // Two connections are allowed. The API closes the third and the fourth.
  for (const host of ['127.0.0.1', '::1']) await once(connectTo(host), 'connect')
  for (const host of ['127.0.0.1', '::1']) await once(connectTo(host), 'close')
  expect(app.logLines.join()).toContain('connection limit reached')
})

test('listen rejects with CANNOT_LISTEN if the port is in use', async () => {
  const firstApp = await openApp()
  await listen(firstApp, { host: '127.0.0.1', port: 0, variable: 'PORT' })
  const { port } = firstApp.server.address() as AddressInfo
  const secondApp = await openApp()
  await expect(
    listen(secondApp, { host: '127.0.0.1', port, variable: 'PORT' }),
  ).rejects.toMatchObject({ code: 'CANNOT_LISTEN', message: expect.stringContaining('EADDRINUSE') })
  // The API must not log this error as a connection that it failed to accept.
  expect(secondApp.logLines.join()).not.toContain('connection not accepted')
})
