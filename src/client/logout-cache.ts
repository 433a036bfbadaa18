import type { Instant } from '../rules/instant.js'
import type { KnownLogouts } from '../rules/judge.js'
import { createKeyedHash, type KeyedHash } from '../rules/keyed-hash.js'
import type { Token } from '../rules/token.js'
import type { ReceivedChange } from './feed-events.js'
import { createKey, fingerprint } from './fingerprint.js'
import { mergeLogouts } from './merge-logouts.js'
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
  /** The hash of the rows of forgotten people; `null`: there are none. */
  let forgotten: { key: string; hash: KeyedHash; load: number } | null = null

  function mergeUser(id: string, at: Instant, allSessionsAt: Instant | null): void {
    fingerprint(id, key, userFingerprint)
    users.merge(userFingerprint, at, allSessionsAt ?? NONE, load)
  }

  function mergeSession(id: string, at: Instant, ended: boolean): void {
    fingerprint(id, key, sessionFingerprint)
    sessions.merge(sessionFingerprint, at, ended ? 1 : 0, load)
  }

  /** A database has one key, but another database can replace it. */
  function setForgetKey(forgetKey: string): void {
    const hash = forgotten?.key === forgetKey ? forgotten.hash : createKeyedHash(forgetKey)
    forgotten = { key: forgetKey, hash, load }
  }

  /** Returns the logouts of ids, or of their hashes. */
  function findRows(subject: string, sessionId: string | null): KnownLogouts {
    // Compute both fingerprints before reading either table: the two memory accesses can then overlap.
    fingerprint(subject, key, userFingerprint)
    if (sessionId !== null) fingerprint(sessionId, key, sessionFingerprint)
    const user = users.find(userFingerprint)
    const session = sessionId === null ? -1 : sessions.find(sessionFingerprint)
    return {
      user: user < 0 ? null : { at: users.first(user), allSessionsAt: orNull(users.second(user)) },
      session:
        session < 0 ? null : { at: sessions.first(session), ended: sessions.second(session) === 1 },
      floorAt: orNull(floorAt),
    }
  }

  return {
    beginLoad() {
      load++
    },
    merge(change) {
      switch (change.kind) {
        case 'user':
          mergeUser(change.userId, change.at, change.allSessionsAt)
          break
        case 'session':
          mergeSession(change.sessionId, change.at, change.ended)
          break
        case 'floor':
          floorAt = Math.max(floorAt, change.at)
          break
        case 'forgotten_user':
          setForgetKey(change.key)
          mergeUser(change.userHash, change.at, change.allSessionsAt)
          break
        case 'forgotten_session':
          setForgetKey(change.key)
          mergeSession(change.sessionHash, change.at, change.ended)
          break
        default:
          change satisfies never
      }
    },
    find({ subject, sessionId }) {
      const known = findRows(subject, sessionId)
      if (forgotten === null) return known
      const { hash } = forgotten
      const sessionHash = sessionId === null ? null : hash(sessionId)
      return mergeLogouts(known, findRows(hash(subject), sessionHash))
    },
    dropUndelivered() {
      users.dropBefore(load)
      sessions.dropBefore(load)
      if (forgotten !== null && forgotten.load < load) forgotten = null
    },
    size: () => users.size + sessions.size,
  }
}

function orNull(at: number): Instant | null {
  return at === NONE ? null : at
}
