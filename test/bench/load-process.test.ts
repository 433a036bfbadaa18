import { fork } from 'node:child_process'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { expect, test } from 'vitest'
import type { Load } from '../../bench/load-process.js'

test('the load generator fails if the server closes a connection before the end of the load', async () => {
  const server = createServer((socket) => socket.on('error', () => {}).end()).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const child = fork(new URL('../../bench/load-process.ts', import.meta.url), {
    execArgv: ['--import', 'tsx'],
    silent: true,
  })
  try {
    const ended = Promise.race([once(child, 'exit'), once(child, 'message')])
    const { port } = server.address() as AddressInfo
    const load: Load = {
      url: `http://127.0.0.1:${port}`,
      endpoint: 'last-logout',
      users: 10,
      connections: 2,
      durationMs: 500,
    }
    child.send(load)
    expect(await ended).toEqual([1, null])
  } finally {
    child.kill()
    server.close()
  }
})
