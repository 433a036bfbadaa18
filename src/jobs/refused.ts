import { ErrorCode } from 'bullmq'
import pg from 'pg'

/** SQLSTATE class: transaction rollback, for example after a deadlock. */
const ROLLED_BACK = /^40/

/**
 * Whether the queue refused a step although it is available: a job has changed, or another worker updates the
 * same schedule. The next attempt can succeed.
 */
export function isRefused(error: unknown): boolean {
  const { code } = Object(error)
  return typeof code === 'number' ? code in ErrorCode : ROLLED_BACK.test(String(code))
}

/** SQLSTATE classes of a connection that is closed: connection exception, operator intervention. */
const CLOSED = /^(08|57)/

/**
 * Whether PostgreSQL rejected a statement and would reject it again on the same connection: it is read-only, the disk
 * or the notification queue is full, or a privilege is missing.
 */
export function isRejected(error: unknown): boolean {
  return error instanceof pg.DatabaseError && !CLOSED.test(String(error.code)) && !isRefused(error)
}
