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
  const rows = createRows()
  let floorAt = NONE
  /** Number of the current load. Each row keeps the number of the load that delivered it last. */
  let load = 0
  const hashes = createHashes()

  return {
    beginLoad() {
      load++
    },
    merge(change) {
      switch (change.kind) {
        case 'user':
          rows.mergeUser(change.userId, change, load)
          break
        case 'session':
          rows.mergeSession(change.sessionId, change, load)
          break
        case 'floor':
          floorAt = Math.max(floorAt, change.at)
          break
        case 'forgotten_user':
          hashes.add(change.key, load)
          rows.mergeUser(change.userHash, change, load)
          break
        case 'forgotten_session':
          hashes.add(change.key, load)
          rows.mergeSession(change.sessionHash, change, load)
          break
        default:
          change satisfies never
      }
    },
    find({ subject, sessionId }) {
      let known = rows.find(subject, sessionId, floorAt)
      for (const hash of hashes.all()) {
        const sessionHash = sessionId === null ? null : hash(sessionId)
        known = mergeLogouts(known, rows.find(hash(subject), sessionHash, floorAt))
      }
      return known
    },
    dropUndelivered() {
      rows.dropBefore(load)
      hashes.dropBefore(load)
    },
    size: rows.size,
  }
}

/**
 * Creates the hashes of the rows of forgotten people, by key. A database has one key. If another database replaces it,
 * both keys are needed until a load has dropped the rows under the old one.
 */
function createHashes() {
  const hashes = new Map<string, { hash: KeyedHash; load: number }>()
  let all: KeyedHash[] = []
  const update = () => {
    all = Array.from(hashes.values(), ({ hash }) => hash)
  }
  return {
    add(key: string, load: number): void {
      const known = hashes.get(key)
      hashes.set(key, { hash: known?.hash ?? createKeyedHash(key), load })
      if (known === undefined) update()
    },
    /** Mostly empty: a check must not pay for it. */
    all: (): readonly KeyedHash[] => all,
    dropBefore(load: number): void {
      for (const [key, delivered] of hashes) if (delivered.load < load) hashes.delete(key)
      update()
    },
  }
}

/** Creates the tables of users and sessions, by their ids or the hashes of their ids. */
function createRows() {
  // The numbers of a user: the last logout, and the last logout of all sessions.
  const users = createTable()
  // The numbers of a session: the logout, and whether the session has ended.
  const sessions = createTable()
  const key = createKey()
  const userFingerprint = new Uint32Array(2)
  const sessionFingerprint = new Uint32Array(2)
  return {
    mergeUser(id: string, { at, allSessionsAt }: UserLogout, load: number): void {
      fingerprint(id, key, userFingerprint)
      users.merge(userFingerprint, at, allSessionsAt ?? NONE, load)
    },
    mergeSession(id: string, { at, ended }: SessionLogout, load: number): void {
      fingerprint(id, key, sessionFingerprint)
      sessions.merge(sessionFingerprint, at, ended ? 1 : 0, load)
    },
    find(subject: string, sessionId: string | null, floorAt: Instant): KnownLogouts {
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
    dropBefore(load: number): void {
      users.dropBefore(load)
      sessions.dropBefore(load)
    },
    size: () => users.size + sessions.size,
  }
}

type UserLogout = Pick<NonNullable<KnownLogouts['user']>, 'at' | 'allSessionsAt'>
type SessionLogout = Pick<NonNullable<KnownLogouts['session']>, 'at' | 'ended'>

function orNull(at: number): Instant | null {
  return at === NONE ? null : at
}
