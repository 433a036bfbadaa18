import type { Instant } from '../rules/instant.js'
import { callSafely } from './call-safely.js'
import type { ReceivedChange } from './received-change.js'

/**
 * A logout that is new to the client. It can revoke tokens of its user, or of all users if its kind is `floor`. Use
 * `checkNow` to decide whether a token is revoked.
 */
export type ReceivedLogout =
  | { kind: 'user'; userId: string; at: Instant }
  | { kind: 'session'; sessionId: string; userId: string | null; at: Instant }
  | { kind: 'floor'; at: Instant }

/** Called with each logout that is new to the client. */
export type LogoutListener = (logout: ReceivedLogout) => unknown

/** The listeners of a client. */
export interface LogoutListeners {
  /** Adds a listener. Returns a function that removes it. */
  add(listener: LogoutListener): () => void
  /** Calls the listeners. A change of a forgotten person contains no id, so it does not call them. */
  notify(change: ReceivedChange): void
}

/**
 * Creates an empty list of listeners.
 *
 * @param onError Called with each error of a listener.
 */
export function createLogoutListeners(
  onError: ((error: unknown) => void) | undefined,
): LogoutListeners {
  const listeners = new Set<LogoutListener>()
  return {
    add(listener) {
      // The wrapper is unique, so a function that is added twice can be removed once.
      const wrapper: LogoutListener = (logout) => listener(logout)
      listeners.add(wrapper)
      return () => void listeners.delete(wrapper)
    },
    notify(change) {
      if (listeners.size === 0) return
      const logout = toLogout(change)
      if (logout === null) return
      for (const listener of listeners) callSafely(() => listener(logout), onError)
    },
  }
}

/** Copies the ids, so that a listener can keep them without keeping the text of the stream in memory. */
function toLogout(change: ReceivedChange): ReceivedLogout | null {
  const { at } = change
  switch (change.kind) {
    case 'user':
      return { kind: 'user', userId: copyText(change.userId), at }
    case 'session':
      return {
        kind: 'session',
        sessionId: copyText(change.sessionId),
        userId: change.userId === null ? null : copyText(change.userId),
        at,
      }
    case 'floor':
      return { kind: 'floor', at }
    default:
      return null
  }
}

/** Returns an independent copy. In V8, a part of a text refers to the whole text. */
function copyText(text: string): string {
  return JSON.parse(JSON.stringify(text))
}
