import type { Instant } from '../rules/instant.js'

/** The keys of a watched token. `null`: the token has no such claim. */
interface IndexedToken {
  subject: string | null
  sessionId: string | null
  expiresAt: Instant | null
}

/** The watched tokens. A token can be found by its user, its session and its expiry. */
export interface WatchIndex<Token> {
  isEmpty(): boolean
  add(token: Token): void
  delete(token: Token): void
  has(token: Token): boolean
  all(): ReadonlySet<Token>
  ofUser(userId: string): ReadonlySet<Token>
  ofSession(sessionId: string): ReadonlySet<Token>
  expiredBy(now: Instant): Token[]
}

/** Creates an empty index. */
export function createWatchIndex<Token extends IndexedToken>(): WatchIndex<Token> {
  const all = new Set<Token>()
  const users = createGroups<string, Token>()
  const sessions = createGroups<string, Token>()
  const expiries = createGroups<Instant, Token>()
  return {
    isEmpty: () => all.size === 0,
    add(token) {
      all.add(token)
      users.add(token.subject, token)
      sessions.add(token.sessionId, token)
      expiries.add(token.expiresAt, token)
    },
    delete(token) {
      all.delete(token)
      users.delete(token.subject, token)
      sessions.delete(token.sessionId, token)
      expiries.delete(token.expiresAt, token)
    },
    has: (token) => all.has(token),
    all: () => all,
    ofUser: users.get,
    ofSession: sessions.get,
    expiredBy: (now) =>
      [...expiries.keys()].filter((at) => at <= now).flatMap((at) => [...expiries.get(at)]),
  }
}

const EMPTY: ReadonlySet<never> = new Set()

/** Creates groups of items with the same key. An item without a key belongs to no group. */
function createGroups<Key, Item>() {
  const groups = new Map<Key, Set<Item>>()
  return {
    keys: () => groups.keys(),
    get: (key: Key): ReadonlySet<Item> => groups.get(key) ?? EMPTY,
    add(key: Key | null, item: Item): void {
      if (key === null) return
      const group = groups.get(key)
      if (group === undefined) groups.set(key, new Set([item]))
      else group.add(item)
    },
    delete(key: Key | null, item: Item): void {
      if (key === null) return
      const group = groups.get(key)
      group?.delete(item)
      if (group?.size === 0) groups.delete(key)
    },
  }
}
