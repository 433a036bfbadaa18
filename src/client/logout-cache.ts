import type { Instant } from '../rules/instant.js'
import type { KnownLogouts } from '../rules/judge.js'
import type { Token } from '../rules/token.js'
import type { ReceivedChange } from './feed-events.js'
import { createKey, fingerprint } from './fingerprint.js'
import { createTable } from './table.js'

/** Sentinel value for no instant, earlier than all instants. */
const NONE = Number.NEGATIVE_INFINITY

/** The logouts that a client holds in memory. They only move forward. */
export interface LogoutCache {
  /** Begins a load: from now on, changes count as delivered by it. */
  beginLoad(): void
  merge(change: ReceivedChange): void
  /** Returns the logouts that can cover a token. */
  find(token: Token): KnownLogouts
  /**
   * Deletes the rows that have not been delivered since the latest load began. The age of a row does not matter:
   * a logout can be stored long after it happened, and only the service knows when that was.
   */
  dropUndelivered(): void
  /** Number of users and sessions. */
  size(): number
}

/** Creates an empty cache. */
export function createLogoutCache(): LogoutCache {
  // The numbers of a user: the last logout, and the last logout of all sessions.
  const users = createTable()
  // The numbers of a session: the logout, and whether the session has ended.
  const sessions = createTable()
  const key = createKey()
  const userFingerprint = new Uint32Array(2)
  const sessionFingerprint = new Uint32Array(2)
  let floorAt = NONE
  /** Number of the current load. Each row keeps the number of the load that delivered it last. */
  let load = 0

  return {
    beginLoad() {
      load++
    },
    merge(change) {
      switch (change.kind) {
        case 'user':
          fingerprint(change.userId, key, userFingerprint)
          users.merge(userFingerprint, change.at, change.allSessionsAt ?? NONE, load)
          break
        case 'session':
          fingerprint(change.sessionId, key, sessionFingerprint)
          sessions.merge(sessionFingerprint, change.at, change.ended ? 1 : 0, load)
          break
        case 'floor':
          floorAt = Math.max(floorAt, change.at)
          break
        default:
          change satisfies never
      }
    },
    find({ subject, sessionId }) {
      // Compute both fingerprints before reading either table: the two memory accesses can then overlap.
      fingerprint(subject, key, userFingerprint)
      if (sessionId !== null) fingerprint(sessionId, key, sessionFingerprint)
      const user = users.find(userFingerprint)
      const session = sessionId === null ? -1 : sessions.find(sessionFingerprint)
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

function orNull(at: number): Instant | null {
  return at === NONE ? null : at
}
