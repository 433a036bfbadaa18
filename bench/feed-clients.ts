/**
 * Runs clients of the change feed, and an echo server, in a process of their own. Sends {@link ClientsReady} to the
 * parent process when all clients have loaded the feed. The parent process sends the id of a user whom it will log out.
 * This process responds with `watching`, and later with the time at which the last client refused a token of this user,
 * in milliseconds since the epoch. The arguments are the URL of the API and the number of clients.
 */
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { LastLogoutClient } from '../src/client/index.js'
import { builtClient } from './built-client.js'
import { BENCH_KEY } from './start-api.js'

/** The message that all clients have loaded the feed. */
export interface ClientsReady {
  echoPort: number
}

const CHECK_INTERVAL_MS = 1
const [url = '', count = ''] = process.argv.slice(2)

const clients = Array.from({ length: Number(count) }, () =>
  builtClient.createLastLogoutClient({ url, apiKey: BENCH_KEY, onUnknown: 'deny' }),
)
await Promise.all(clients.map((client) => client.ready()))
const echo = createServer({ noDelay: true }, (socket) => socket.pipe(socket)).listen(0, '127.0.0.1')
await once(echo, 'listening')
process.send?.({ echoPort: (echo.address() as AddressInfo).port } satisfies ClientsReady)

process.on('message', async (userId: string) => {
  const claims = { sub: userId, iat: Math.floor(Date.now() / 1000) - 60 }
  const accepts = (client: LastLogoutClient) => client.checkNow(claims).outcome !== 'revoked'
  if (!clients.every(accepts)) throw new Error('a client refuses a token before the logout')
  process.send?.('watching')
  // Waits for one client after the other, because checks by all clients in each interval would delay the clients.
  for (const client of clients) while (accepts(client)) await sleep(CHECK_INTERVAL_MS)
  process.send?.(performance.timeOrigin + performance.now())
})
