import type { Instant } from '../rules/instant.js'
import type { KnownLogouts } from '../rules/judge.js'
import type { Token } from '../rules/token.js'
import { createKey, fingerprint } from './fingerprint.js'
import { readInstant } from './freshness.js'
import { createTable } from './table.js'
import type { ChangeJson } from './wire.js'

/** Earlier than any instant: what stands for none. */
const NONE = Number.NEGATIVE_INFINITY

/** The logouts that a client holds in memory. They only ever move forward. */
export interface Held {
  /** Begins a load: changes from now on count as delivered by it. */
  beginLoad(): void
  merge(change: ChangeJson): void
  /** What may cover a token. */
  find(token: Token): KnownLogouts
  /**
   * Drops the rows that have not been delivered since the newest load began. Not those with an old instant: a logout
   * can be stored long after it happened, and the service alone knows when that was.
   */
  dropUndelivered(): void
  /** How many users and sessions are held. */
  size(): number
}

/** Holds nothing yet. */
export function createHeld(): Held {
  // Of a user: the last logout, and the last of all sessions. Of a session: the logout, and whether it has ended.
  const users = createTable()
  const sessions = createTable()
  const key = createKey()
  const ofUser = new Uint32Array(2)
  const ofSession = new Uint32Array(2)
  let floorAt = NONE
  let load = 0

  return {
    beginLoad() {
      load++
    },
    merge(change) {
      const at = readInstant(change.at)
      if (change.kind === 'user') {
        fingerprint(change.user_id, key, ofUser)
        users.merge(ofUser, at, toInstant(change.all_sessions_at), load)
      }
      if (change.kind === 'session') {
        fingerprint(change.session_id, key, ofSession)
        sessions.merge(ofSession, at, change.ended ? 1 : 0, load)
      }
      if (change.kind === 'floor') floorAt = Math.max(floorAt, at)
    },
    find({ subject, sessionId }) {
      // Both before either is sought: the two looks into memory can then overlap.
      fingerprint(subject, key, ofUser)
      if (sessionId !== null) fingerprint(sessionId, key, ofSession)
      const user = users.find(ofUser)
      const session = sessionId === null ? -1 : sessions.find(ofSession)
      return {
        user:
          user < 0 ? null : { at: users.first(user), allSessionsAt: orNull(users.second(user)) },
        session:
          session < 0
            ? null
            : { at: sessions.first(session), ended: sessions.second(session) === 1 },
        floorAt: orNull(floorAt),
      }
    },
    dropUndelivered() {
      users.dropBefore(load)
      sessions.dropBefore(load)
    },
    size: () => users.size + sessions.size,
  }
}

function toInstant(text: string | null): Instant {
  return text === null ? NONE : readInstant(text)
}

function orNull(at: number): Instant | null {
  return at === NONE ? null : at
}
