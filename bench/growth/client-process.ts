/**
 * Starts a client of the built package in its own process, and waits until the client has loaded the feed. Sends a
 * {@link ClientLoad} to the parent process. The arguments are the URL of the feed, and the number of users in the feed.
 * Needs `--expose-gc`.
 */
import { builtClient } from '../built-client.js'
import { BENCH_KEY } from '../start-api.js'
import { userIdOf } from '../subjects.js'
import type { ClientLoad } from './clients.js'

const [url = '', users = ''] = process.argv.slice(2)
const DAY_SECONDS = 86_400

const bytesBefore = measureMemory()
const startedMs = performance.now()
const client = builtClient.createLastLogoutClient({ url, apiKey: BENCH_KEY, onUnknown: 'deny' })
await client.ready()
const seconds = (performance.now() - startedMs) / 1000
const sub = userIdOf(Number(users) - 1)
const { outcome } = client.checkNow({ sub, iat: Math.floor(Date.now() / 1000) - DAY_SECONDS })
if (outcome !== 'revoked') throw new Error(`after the load, the last user's token is ${outcome}`)
const result: ClientLoad = { seconds, bytes: measureMemory() - bytesBefore }
process.send?.(result)
await client.close()

function measureMemory(): number {
  globalThis.gc?.()
  globalThis.gc?.()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}
