import { once } from 'node:events'
import { type AddressInfo, connect } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { listen } from '../../src/http/listen.js'
import { openApi } from '../_support/api.js'

const nothing = async () => {
  throw new Error('not called')
}

/** Opens an API that is closed after the test. */
async function open() {
  const app = await openApi({
    readKnown: nothing,
    readProgress: nothing,
    readChanges: nothing,
    storeReported: nothing,
    maxConnections: 2,
  })
  onTestFinished(() => app.close())
  return app
}

test('localhost is both 127.0.0.1 and ::1, with the same limits', async () => {
  const app = await open()
  const url = new URL(await listen(app, { host: 'localhost', port: 0, variable: 'PORT' }))
  for (const host of ['127.0.0.1', 'localhost', '[::1]']) {
    url.hostname = host
    const response = await fetch(new URL('/health/live', url), { headers: { connection: 'close' } })
    expect([host, response.status]).toEqual([host, 200])
  }
  await app.close()
  await expect(fetch(url)).rejects.toThrow()
})

test('the limit of connections holds for both addresses of localhost together', async () => {
  const app = await open()
  const { port } = new URL(await listen(app, { host: 'localhost', port: 0, variable: 'PORT' }))
  const connectTo = (host: string) => {
    const socket = connect(Number(port), host)
    onTestFinished(() => void socket.destroy())
    socket.on('error', () => {})
    return socket
  }
  for (const host of ['127.0.0.1', '::1']) await once(connectTo(host), 'connect')
  for (const host of ['127.0.0.1', '::1']) await once(connectTo(host), 'close')
  expect(app.lines.join()).toContain('connection limit reached')
})

test('a port that is taken is refused by name', async () => {
  const first = await open()
  await listen(first, { host: '127.0.0.1', port: 0, variable: 'PORT' })
  const { port } = first.server.address() as AddressInfo
  const second = await open()
  await expect(listen(second, { host: '127.0.0.1', port, variable: 'PORT' })).rejects.toMatchObject(
    { code: 'CANNOT_LISTEN', message: expect.stringContaining('EADDRINUSE') },
  )
  // It was not taken for a failed accept.
  expect(second.lines.join()).not.toContain('connection not accepted')
})
