import type { LastLogoutClient } from './client.js'
import { assertClaims } from './verified-claims.js'
import type { WatchEnd } from './watch-review.js'

/** Options of the adapters for live connections. */
export interface LiveOptions {
  /**
   * With `onUnknown: 'deny'`: how long the revocation status may be unknown before the connection ends, in
   * milliseconds. Default 60,000.
   */
  maxUnknownMs?: number
}

/** A connection, or a part of one, that emits an event when it is closed. */
export interface Closable {
  once(event: 'close', listener: () => void): unknown
  off(event: 'close', listener: () => void): unknown
}

/** An open connection, such as a WebSocket, with a verified token. */
interface LiveConnection extends LiveOptions {
  claims: unknown
  /** Aborts when the connection is closed. */
  closed: AbortSignal
  /** Ends the connection. */
  end(outcome: WatchEnd['outcome']): void
}

/** Time that the peer has to close the connection, in milliseconds. After this time, the connection is destroyed. */
const DESTROY_AFTER_MS = 2_000

/**
 * Asserts that the client can watch tokens with these options, so that a wrong option is noticed before the first
 * connection.
 *
 * @throws `TypeError` for a client with `lookup: 'request'`, or for a wrong option.
 */
export function assertCanWatch(
  client: LastLogoutClient,
  { maxUnknownMs }: { maxUnknownMs?: number | undefined },
): void {
  // An aborted signal ends the watch before it begins.
  client.watch({}, { maxUnknownMs, signal: AbortSignal.abort(), onRevoked: () => {} })
}

/**
 * Checks the token of a connection. If the token is accepted, watches it until the connection is closed. Otherwise,
 * ends the connection.
 *
 * @returns Whether the token is accepted and the connection is still open.
 * @throws `TypeError` if the claims are not verified claims.
 */
export async function protectConnection(
  client: LastLogoutClient,
  { claims, closed, end, maxUnknownMs }: LiveConnection,
): Promise<boolean> {
  const verifiedClaims = assertClaims(
    claims,
    'the argument',
    'pass the verified claims of the token.',
  )
  const { allowed, outcome } = await client.check(verifiedClaims)
  if (closed.aborted) return false
  if (!allowed) {
    end(outcome === 'revoked' ? 'revoked' : 'unknown')
    return false
  }
  let hasEnded = false
  client.watch(verifiedClaims, {
    signal: closed,
    maxUnknownMs,
    onRevoked(watchEnd) {
      hasEnded = true
      end(watchEnd.outcome)
    },
  })
  // The first review of the watch runs in a microtask. It ends the connection if the token has already expired: the JWT
  // library accepts a recently expired token if it has a clock tolerance.
  await Promise.resolve()
  return !hasEnded
}

/** Returns a signal that aborts when one of the connections is closed. */
export function signalOfClose(...connections: Closable[]): AbortSignal {
  const controller = new AbortController()
  const abort = () => {
    // A socket outlives the responses that it carries, and must not keep their listeners.
    for (const connection of connections) connection.off('close', abort)
    controller.abort()
  }
  for (const connection of connections) connection.once('close', abort)
  return controller.signal
}

/** Destroys a connection if it is not closed within two seconds. */
export function destroyUnlessClosed(closed: AbortSignal, destroy: () => void): void {
  const timer = setTimeout(destroy, DESTROY_AFTER_MS)
  closed.addEventListener('abort', () => clearTimeout(timer))
}
