/** Timeout for opening a connection, in milliseconds. */
export const CONNECT_TIMEOUT_MS = 5_000

/** Timeout for the response to a query, in milliseconds. */
export const QUERY_TIMEOUT_MS = 15_000

/** Timeout for one statement of a migration, in milliseconds. */
export const MIGRATION_TIMEOUT_MS = 600_000

/** How long a closing connection waits for the server before its socket is destroyed, in milliseconds. */
export const CLOSE_GRACE_MS = 2_000

/**
 * Maximum age of a connection, in seconds. After a failover, a connection to the old server can stay open. A new
 * connection resolves the host name again, and reaches the new server.
 */
export const MAX_LIFETIME_SECONDS = 60
