import { buildEntry } from '../../src/simulator/entries.js'
import type { Tenant } from '../../src/simulator/tenant.js'

/**
 * Writes the log entry of a deleted account. As in recorded entries of Auth0, the user id is only in `description`, and
 * lacks the part before `|`.
 */
export function writeDeletion(tenant: Tenant, userId: string): void {
  const description = `user_id: ${userId.split('|')[1]}`
  tenant.write(buildEntry('sdu', { userId }, { user_id: '', description }))
}

/**
 * Writes the log entry of an administrator who blocks a user. As in recorded entries of the type `sapi`, only the path
 * of the request contains the id of the user.
 */
export function writeBlock(tenant: Tenant, userId: string, administratorId: string): void {
  const path = `/api/v2/users/${encodeURIComponent(userId)}`
  const details = { request: { method: 'patch', path, body: { blocked: true } } }
  tenant.write(buildEntry('sapi', { userId: administratorId }, { details }))
}
