import { ErrorCode } from 'bullmq'

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
