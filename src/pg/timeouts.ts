/** Upper bound of the wait for a connection, in milliseconds. */
export const CONNECT_TIMEOUT_MS = 5_000

/** Upper bound of the wait for the response to a query, in milliseconds. */
export const QUERY_TIMEOUT_MS = 15_000

/** Upper bound for one statement of a migration, in milliseconds. */
export const MIGRATION_TIMEOUT_MS = 600_000

/** How long the closing of a connection may wait for the server before the socket is destroyed, in milliseconds. */
export const CLOSE_GRACE_MS = 2_000

/**
 * Maximum age of a connection, in seconds. A connection to a server that was demoted or isolated can stay open. A new
 * connection reaches the server to which the host name resolves at that time.
 */
export const MAX_LIFETIME_SECONDS = 60
