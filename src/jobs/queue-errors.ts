import { ErrorCode } from 'bullmq'
import pg from 'pg'

/** SQLSTATE class: transaction rollback, for example after a deadlock. */
const ROLLED_BACK = /^40/

/**
 * Whether an operation failed because of another worker, although the queue is available: the other worker has changed
 * the job, or updates the same schedule. The next attempt can succeed.
 */
export function isQueueConflict(error: unknown): boolean {
  const { code } = Object(error)
  return typeof code === 'number' ? code in ErrorCode : ROLLED_BACK.test(String(code))
}

/** SQLSTATE classes of a closed connection: connection exception, operator intervention. */
const CLOSED = /^(08|57)/

/**
 * Whether PostgreSQL refused a statement, and would refuse the same statement again on this connection. Causes are a
 * read-only server, a full disk or notification queue, and a missing privilege.
 */
export function isRefusedStatement(error: unknown): boolean {
  if (!(error instanceof pg.DatabaseError)) return false
  return !CLOSED.test(String(error.code)) && !isQueueConflict(error)
}
