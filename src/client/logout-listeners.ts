import type { Instant } from '../rules/instant.js'
import { callSafely } from './call-safely.js'
import type { ReceivedChange } from './feed-events.js'

/**
 * A logout that the client did not know. It names whose tokens it can revoke. `floor`: those of all users.
 * `checkNow` decides which of them it revokes.
 */
export type ReceivedLogout =
  | { kind: 'user'; userId: string; at: Instant }
  | { kind: 'session'; sessionId: string; userId: string | null; at: Instant }
  | { kind: 'floor'; at: Instant }

/** Called with each logout that the client did not know. */
export type LogoutListener = (logout: ReceivedLogout) => unknown

/** The listeners of a client. */
export interface LogoutListeners {
  /** Adds a listener. Returns a function that removes it. */
  add(listener: LogoutListener): () => void
  /** Calls the listeners. The row of a forgotten person contains no id, and calls none. */
  notify(change: ReceivedChange): void
}

/**
 * Creates an empty list of listeners.
 *
 * @param onError Called with each error that a listener throws.
 */
export function createLogoutListeners(
  onError: ((error: unknown) => void) | undefined,
): LogoutListeners {
  const listeners = new Set<LogoutListener>()
  return {
    add(listener) {
      // The same function can be added twice, and each call removes only its own.
      const own: LogoutListener = (logout) => listener(logout)
      listeners.add(own)
      return () => void listeners.delete(own)
    },
    notify(change) {
      if (listeners.size === 0) return
      const logout = toLogout(change)
      if (logout === null) return
      for (const listener of listeners) callSafely(() => listener(logout), onError)
    },
  }
}

function toLogout(change: ReceivedChange): ReceivedLogout | null {
  const { at } = change
  switch (change.kind) {
    case 'user':
      return { kind: 'user', userId: change.userId, at }
    case 'session':
      return { kind: 'session', sessionId: change.sessionId, userId: change.userId, at }
    case 'floor':
      return { kind: 'floor', at }
    default:
      return null
  }
}
