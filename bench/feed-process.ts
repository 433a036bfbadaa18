/**
 * Serves a change feed in its own process, and sends the port to the parent process. The feed sends the changes of all
 * users and of one session of each, in columns, and then one freshness event. The argument is the number of users. The
 * events are formatted before the first request, so that the measured time of a load does not include the formatting.
 */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import type { ChangeColumns } from '../src/rules/change-feed.js'
import { sessionIdOf, userIdOf } from './subjects.js'

const userCount = Number(process.argv[2])
/** Number of users whose events are written together. */
const USERS_PER_CHUNK = 1_000
/** The age of the first user's logout. Each next user has logged out 1 ms later. */
const FIRST_LOGOUT_AGE_MS = 3_600_000

function formatChunk(firstUser: number): Buffer {
  const end = Math.min(firstUser + USERS_PER_CHUNK, userCount)
  const numbers = Array.from({ length: end - firstUser }, (_, i) => firstUser + i)
  const at_ms = numbers.map((n) => Date.now() - FIRST_LOGOUT_AGE_MS + n)
  const user_id = numbers.map(userIdOf)
  const columns: ChangeColumns = {
    users: { user_id, at_ms, all_sessions_at_ms: numbers.map(() => null) },
    sessions: {
      session_id: numbers.map(sessionIdOf),
      user_id,
      at_ms,
      ended: numbers.map(() => true),
    },
  }
  return Buffer.from(`event: columns\ndata: ${JSON.stringify(columns)}\n\n`)
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
