import type { Instant } from '../rules/instant.js'
import type { KnownLogouts, Policy } from '../rules/judge.js'
import { createKeyedHash, type KeyedHash } from '../rules/keyed-hash.js'
import type { Token } from '../rules/token.js'
import { createKey, fingerprint } from './fingerprint.js'
import { mergeLogouts } from './merge-logouts.js'
import type { ReceivedChange } from './received-change.js'
import { createTable } from './table.js'
import { createUserTable, type UserLogout } from './user-table.js'

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
  /** Returns the number of users and sessions. */
  count(): number
}

/** Creates an empty cache. */
export function createLogoutCache(): LogoutCache {
  const rows = createRows()
  let floorAt = NONE
  const hashFunctions = createHashFunctions()

  return {
    beginLoad() {
      rows.beginLoad()
      hashFunctions.beginLoad()
    },
    merge(change) {
      switch (change.kind) {
        case 'user':
          return rows.mergeUser(change.userId, change)
        case 'session':
          return rows.mergeSession(change.sessionId, change)
        case 'floor': {
          const isNew = change.at > floorAt
          floorAt = Math.max(floorAt, change.at)
          return isNew
        }
        case 'forgotten_user':
          hashFunctions.add(change.key)
          return rows.mergeUser(change.userHash, change)
        case 'forgotten_session':
          hashFunctions.add(change.key)
          return rows.mergeSession(change.sessionHash, change)
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
      rows.dropUndelivered()
      hashFunctions.dropUndelivered()
    },
    count: rows.count,
  }
}

/**
 * Creates the collection of hash functions, one for each key. The rows of forgotten people contain hashes instead of
 * ids. A database has one key, so there are several functions only if another database has replaced the first one.
 */
function createHashFunctions() {
  const functions = new Map<string, KeyedHash>()
  /** The keys that the latest load has delivered. */
  const deliveredKeys = new Set<string>()
  let all: KeyedHash[] = []
  const update = () => {
    all = [...functions.values()]
  }
  return {
    beginLoad: () => deliveredKeys.clear(),
    add(key: string): void {
      deliveredKeys.add(key)
      if (functions.has(key)) return
      functions.set(key, createKeyedHash(key))
      update()
    },
    /** Returns all functions. Every check calls this function, so it returns a list that was built before. */
    all: (): readonly KeyedHash[] => all,
    dropUndelivered(): void {
      for (const key of functions.keys()) if (!deliveredKeys.has(key)) functions.delete(key)
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
    beginLoad(): void {
      users.beginLoad()
      sessions.beginLoad()
    },
    mergeUser(id: string, logout: UserLogout): boolean {
      fingerprint(id, key, userFingerprint)
      return users.merge(userFingerprint, logout)
    },
    mergeSession(id: string, { at, ended }: SessionLogout): boolean {
      fingerprint(id, key, sessionFingerprint)
      return sessions.merge(sessionFingerprint, at, ended)
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
    dropUndelivered(): void {
      users.dropUndelivered()
      sessions.dropUndelivered()
    },
    count: () => users.count() + sessions.count(),
  }
}

type SessionLogout = Pick<NonNullable<KnownLogouts['session']>, 'at' | 'ended'>
