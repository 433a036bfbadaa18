import type { Instant } from '../rules/instant.js'
import type { KnownLogouts, Policy } from '../rules/judge.js'
import { createKeyedHash, type KeyedHash } from '../rules/keyed-hash.js'
import type { Token } from '../rules/token.js'
import { createKey, type Fingerprint, fingerprint } from './fingerprint.js'
import { mergeLogouts } from './merge-logouts.js'
import type { ReceivedChange } from './received-change.js'
import { createTable, MAX_LOAD_NUMBER } from './table.js'

/** Sentinel value for a missing instant. It is less than every instant. */
const NONE: Instant = 0

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
  const hashFunctions = createHashFunctions()

  return {
    beginLoad() {
      loadNumber = Math.min(loadNumber + 1, MAX_LOAD_NUMBER)
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
          hashFunctions.add(change.key, loadNumber)
          return rows.mergeUser(change.userHash, change, loadNumber)
        case 'forgotten_session':
          hashFunctions.add(change.key, loadNumber)
          return rows.mergeSession(change.sessionHash, change, loadNumber)
        default:
          return change satisfies never
      }
    },
    find({ subject, sessionId }, policy) {
      let knownLogouts = rows.find(subject, sessionId, policy, floorAt)
      for (const hash of hashFunctions.all()) {
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
      hashFunctions.dropBefore(loadNumber)
    },
    count: rows.count,
  }
}

/**
 * Creates the collection of hash functions, one for each key. The rows of forgotten people contain hashes instead of
 * ids. A database has one key, so there are several functions only if another database has replaced the first one.
 */
function createHashFunctions() {
  const functions = new Map<string, { hash: KeyedHash; loadNumber: number }>()
  let all: KeyedHash[] = []
  const update = () => {
    all = Array.from(functions.values(), ({ hash }) => hash)
  }
  return {
    add(key: string, loadNumber: number): void {
      const existing = functions.get(key)
      functions.set(key, { hash: existing?.hash ?? createKeyedHash(key), loadNumber })
      if (existing === undefined) update()
    },
    /** Returns all functions. Every check calls this function, so it returns a list that was built before. */
    all: (): readonly KeyedHash[] => all,
    dropBefore(loadNumber: number): void {
      for (const [key, entry] of functions) if (entry.loadNumber < loadNumber) functions.delete(key)
      update()
    },
  }
}

/** Creates the rows of users and sessions. Their keys are ids or, for forgotten people, hashes of ids. */
function createRows() {
  const users = createUserTable()
  const sessions = createTable()
  const key = createKey()
  const userFingerprint = new Uint32Array(2)
  const sessionFingerprint = new Uint32Array(2)
  return {
    mergeUser(id: string, logout: UserLogout, loadNumber: number): boolean {
      fingerprint(id, key, userFingerprint)
      return users.merge(userFingerprint, logout, loadNumber)
    },
    mergeSession(id: string, { at, ended }: SessionLogout, loadNumber: number): boolean {
      fingerprint(id, key, sessionFingerprint)
      return sessions.merge(sessionFingerprint, at, ended, loadNumber)
    },
    find(
      subject: string,
      sessionId: string | null,
      policy: Policy,
      floorAt: Instant,
    ): KnownLogouts {
      const needsLastLogout = policy === 'user' || sessionId === null
      const needsUser = needsLastLogout || users.hasAllSessionsRow()
      // Both fingerprints are computed before any table is read, so that the memory accesses can overlap.
      if (needsUser) fingerprint(subject, key, userFingerprint)
      if (sessionId !== null) fingerprint(sessionId, key, sessionFingerprint)
      const user = needsUser ? users.find(userFingerprint, needsLastLogout) : null
      const sessionRow = sessionId === null ? -1 : sessions.find(sessionFingerprint)
      return {
        user,
        session:
          sessionRow < 0
            ? null
            : { at: sessions.at(sessionRow), ended: sessions.hasEnded(sessionRow) },
        floorAt: floorAt === NONE ? null : floorAt,
      }
    },
    dropBefore(loadNumber: number): void {
      users.dropBefore(loadNumber)
      sessions.dropBefore(loadNumber)
    },
    count: () => users.count() + sessions.count(),
  }
}

/**
 * Creates the tables of users. Few users have a logout of all sessions. These logouts have a table of their own, which
 * is so small that the processor's cache holds it.
 */
function createUserTable() {
  const lastLogouts = createTable()
  const allSessions = createTable()
  let hasAllSessionsRow = false
  return {
    hasAllSessionsRow: (): boolean => hasAllSessionsRow,
    merge(id: Fingerprint, { at, allSessionsAt }: UserLogout, loadNumber: number): boolean {
      const isNew = lastLogouts.merge(id, at, false, loadNumber)
      // If `allSessions` has a row of the user, the change marks this row as delivered even without `allSessionsAt`.
      const hasRow = hasAllSessionsRow && allSessions.find(id) !== -1
      if (allSessionsAt === null && !hasRow) return isNew
      hasAllSessionsRow = true
      return allSessions.merge(id, allSessionsAt ?? NONE, false, loadNumber) || isNew
    },
    /** Without `needsLastLogout`, finds only the last logout of all sessions. */
    find(id: Fingerprint, needsLastLogout: boolean): KnownLogouts['user'] {
      const allSessionsRow = allSessions.find(id)
      const allSessionsAt = allSessionsRow < 0 ? null : allSessions.at(allSessionsRow)
      if (!needsLastLogout) {
        return allSessionsAt === null ? null : { at: allSessionsAt, allSessionsAt }
      }
      const row = lastLogouts.find(id)
      return row < 0 ? null : { at: lastLogouts.at(row), allSessionsAt }
    },
    dropBefore(loadNumber: number): void {
      lastLogouts.dropBefore(loadNumber)
      allSessions.dropBefore(loadNumber)
    },
    count: () => lastLogouts.count(),
  }
}

type UserLogout = Pick<NonNullable<KnownLogouts['user']>, 'at' | 'allSessionsAt'>
type SessionLogout = Pick<NonNullable<KnownLogouts['session']>, 'at' | 'ended'>
