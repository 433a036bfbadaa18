/**
 * Serves a change feed in its own process, and sends the port to the parent process. The feed sends a change for each
 * user, a change for each user's session, and then one freshness event. The argument is the number of users. The events
 * are formatted before the first request, so that the measured time of a load does not include the formatting.
 */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { sessionIdOf, userIdOf } from './subjects.js'

const userCount = Number(process.argv[2])
/** Number of users whose events are written together. */
const USERS_PER_CHUNK = 1_000
/** The age of the first user's logout. Each next user has logged out 1 ms later. */
const FIRST_LOGOUT_AGE_MS = 3_600_000

function formatChunk(firstUser: number): Buffer {
  let text = ''
  for (let i = firstUser; i < Math.min(firstUser + USERS_PER_CHUNK, userCount); i++) {
    const at = new Date(Date.now() - FIRST_LOGOUT_AGE_MS + i).toISOString()
    const user = { kind: 'user', user_id: userIdOf(i), at, all_sessions_at: null, type: 'slo' }
    const session = {
      kind: 'session',
      session_id: sessionIdOf(i),
      user_id: userIdOf(i),
      at,
      ended: true,
      type: 'slo',
    }
    for (const change of [user, session])
      text += `event: change\ndata: ${JSON.stringify(change)}\n\n`
  }
  return Buffer.from(text)
}

const chunks: Buffer[] = []
for (let firstUser = 0; firstUser < userCount; firstUser += USERS_PER_CHUNK)
  chunks.push(formatChunk(firstUser))

function* events() {
  yield* chunks
  const freshness = { cursor: '1', as_of: new Date().toISOString(), lag_ms: 0, policy: 'session' }
  yield Buffer.from(`event: freshness\nid: 1\ndata: ${JSON.stringify(freshness)}\n\n`)
}

const server = createServer((_request, response) => {
  response.setHeader('content-type', 'text/event-stream')
  // The stream stays open, so that the client does not reconnect.
  Readable.from(events()).pipe(response, { end: false })
}).listen(0, '127.0.0.1', () => process.send?.((server.address() as AddressInfo).port))
