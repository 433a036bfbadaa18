import type { Instant } from '../rules/instant.js'
import type { KnownLogouts, Policy } from '../rules/judge.js'
import { createKeyedHash, type KeyedHash } from '../rules/keyed-hash.js'
import type { Token } from '../rules/token.js'
import type { ReceivedChange } from './feed-events.js'
import { createKey, fingerprint } from './fingerprint.js'
import { mergeLogouts } from './merge-logouts.js'
import { createTable } from './table.js'

/** Sentinel value for a missing instant. It is less than every instant. */
const NONE = Number.NEGATIVE_INFINITY

/** The logouts in the memory of a client. A stored instant is replaced only by a later one. */
export interface LogoutCache {
  /** Begins a load: a reading of all logouts. The following changes belong to this load. */
  beginLoad(): void
  /** Merges a change. Returns whether the change is new to the cache. */
  merge(change: ReceivedChange): boolean
  /**
   * Returns the logouts that can cover a token under a policy. The caller must judge the token with the same policy.
   * Under the policy `session`, the last logout of the user cannot cover a token with a session id. `user` is then
   * `null`, unless a logout has ended all sessions of the user.
   */
  find(token: Token, policy: Policy): KnownLogouts
  /**
   * Deletes the rows that the latest load has not delivered. The age of a logout cannot decide about a deletion, because
   * the service can store a logout long after it happened.
   */
  dropUndelivered(): void
  /** Counts the users and sessions. Reads the whole cache. */
  count(): number
}

/** Creates an empty cache. */
export function createLogoutCache(): LogoutCache {
  const rows = createRows()
  let floorAt = NONE
  /** The number of the latest load. Each row contains the number of the load that has delivered it last. */
  let loadNumber = 0
  const hashes = createHashes()

  return {
    beginLoad() {
      loadNumber++
    },
    merge(change) {
      switch (change.kind) {
        case 'user':
          return rows.mergeUser(change.userId, change, loadNumber)
        case 'session':
          return rows.mergeSession(change.sessionId, change, loadNumber)
        case 'floor': {
          const isNew = change.at > floorAt
          floorAt = Math.max(floorAt, change.at)
          return isNew
        }
        case 'forgotten_user':
          hashes.add(change.key, loadNumber)
          return rows.mergeUser(change.userHash, change, loadNumber)
        case 'forgotten_session':
          hashes.add(change.key, loadNumber)
          return rows.mergeSession(change.sessionHash, change, loadNumber)
        default:
          return change satisfies never
      }
    },
    find({ subject, sessionId }, policy) {
      let knownLogouts = rows.find(subject, sessionId, policy, floorAt)
      for (const hash of hashes.all()) {
        const sessionHash = sessionId === null ? null : hash(sessionId)
        knownLogouts = mergeLogouts(
          knownLogouts,
          rows.find(hash(subject), sessionHash, policy, floorAt),
        )
      }
      return knownLogouts
    },
    dropUndelivered() {
      rows.dropBefore(loadNumber)
      hashes.dropBefore(loadNumber)
    },
    count: rows.count,
  }
}

/**
 * Creates the collection of keyed hashes. The rows of forgotten people contain hashes instead of ids. A database has one
 * key, so there are several hashes only if another database has replaced the first one.
 */
function createHashes() {
  const hashes = new Map<string, { hash: KeyedHash; loadNumber: number }>()
  let all: KeyedHash[] = []
  const update = () => {
    all = Array.from(hashes.values(), ({ hash }) => hash)
  }
  return {
    add(key: string, loadNumber: number): void {
      const existing = hashes.get(key)
      hashes.set(key, { hash: existing?.hash ?? createKeyedHash(key), loadNumber })
      if (existing === undefined) update()
    },
    /** Returns all hashes. Every check calls this function, so it returns a list that was built before. */
    all: (): readonly KeyedHash[] => all,
    dropBefore(loadNumber: number): void {
      for (const [key, entry] of hashes) if (entry.loadNumber < loadNumber) hashes.delete(key)
      update()
    },
  }
}

/** Creates the tables of users and sessions. Their keys are ids or, for forgotten people, hashes of ids. */
function createRows() {
  // The first number of a user is the last logout.
  const users = createTable()
  // The first number of a user is the last logout of all sessions. Few users have a row, so this table is small.
  const allSessions = createTable()
  // The first number of a session is the logout, the second is 1 if the session has ended, else 0.
  const sessions = createTable()
  const tables = [users, allSessions, sessions]
  let hasAllSessionsRow = false
  const key = createKey()
  const userFingerprint = new Uint32Array(2)
  const sessionFingerprint = new Uint32Array(2)

  /** Finds the logouts of the user whose fingerprint is in `userFingerprint`. */
  function findUser(needsLastLogout: boolean): KnownLogouts['user'] {
    const allSessionsRow = allSessions.find(userFingerprint)
    const allSessionsAt = allSessionsRow < 0 ? null : allSessions.first(allSessionsRow)
    if (!needsLastLogout)
      return allSessionsAt === null ? null : { at: allSessionsAt, allSessionsAt }
    const user = users.find(userFingerprint)
    return user < 0 ? null : { at: users.first(user), allSessionsAt }
  }

  return {
    mergeUser(id: string, { at, allSessionsAt }: UserLogout, loadNumber: number): boolean {
      fingerprint(id, key, userFingerprint)
      const isNew = users.merge(userFingerprint, at, 0, loadNumber)
      // A row of the user is marked as delivered even if the change has no such instant.
      const hasRow = hasAllSessionsRow && allSessions.find(userFingerprint) !== -1
      if (allSessionsAt === null && !hasRow) return isNew
      hasAllSessionsRow = true
      return allSessions.merge(userFingerprint, allSessionsAt ?? NONE, 0, loadNumber) || isNew
    },
    mergeSession(id: string, { at, ended }: SessionLogout, loadNumber: number): boolean {
      fingerprint(id, key, sessionFingerprint)
      return sessions.merge(sessionFingerprint, at, ended ? 1 : 0, loadNumber)
    },
    find(
      subject: string,
      sessionId: string | null,
      policy: Policy,
      floorAt: Instant,
    ): KnownLogouts {
      const needsLastLogout = policy === 'user' || sessionId === null
      const needsUser = needsLastLogout || hasAllSessionsRow
      // Both fingerprints are computed before any table is read, so that the memory accesses can overlap.
      if (needsUser) fingerprint(subject, key, userFingerprint)
      if (sessionId !== null) fingerprint(sessionId, key, sessionFingerprint)
      const user = needsUser ? findUser(needsLastLogout) : null
      const session = sessionId === null ? -1 : sessions.find(sessionFingerprint)
      return {
        user,
        session:
          session < 0
            ? null
            : { at: sessions.first(session), ended: sessions.second(session) === 1 },
        floorAt: floorAt === NONE ? null : floorAt,
      }
    },
    dropBefore(loadNumber: number): void {
      for (const table of tables) table.dropBefore(loadNumber)
    },
    count: () => users.count() + sessions.count(),
  }
}

type UserLogout = Pick<NonNullable<KnownLogouts['user']>, 'at' | 'allSessionsAt'>
type SessionLogout = Pick<NonNullable<KnownLogouts['session']>, 'at' | 'ended'>
