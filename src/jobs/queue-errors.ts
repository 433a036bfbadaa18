import { ErrorCode } from 'bullmq'
import pg from 'pg'

/** SQLSTATE class: transaction rollback, for example after a deadlock. */
const ROLLED_BACK = /^40/

/**
 * Whether an operation failed because another worker changed the same job or schedule at the same time. The next
 * attempt can succeed.
 */
export function isQueueConflict(error: unknown): boolean {
  const { code } = Object(error)
  return typeof code === 'number' ? code in ErrorCode : ROLLED_BACK.test(String(code))
}

/** SQLSTATE classes of a closed connection: connection exception, operator intervention. */
const CLOSED = /^(08|57)/

/**
 * Whether PostgreSQL refused a statement, and would refuse the statement again on this connection. For example, the
 * server is read-only, the disk is full, or a privilege is missing.
 */
export function isRefusedStatement(error: unknown): boolean {
  if (!(error instanceof pg.DatabaseError)) return false
  return !CLOSED.test(String(error.code)) && !isQueueConflict(error)
}
