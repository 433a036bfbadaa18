import { ErrorCode } from 'bullmq'

/** SQLSTATE class: transaction rollback, as of one of two that waited for each other. */
const ROLLED_BACK = /^40/

/**
 * Whether the store answers, and says no: a job is not there as it was, or another worker is at the
 * same schedule. The next time it may say yes; nothing is wrong with the store.
 */
export function isRefused(error: unknown): boolean {
  const { code } = Object(error)
  return typeof code === 'number' ? code in ErrorCode : ROLLED_BACK.test(String(code))
}
