import { buildEntry } from '../../src/simulator/entries.js'
import type { Tenant } from '../../src/simulator/tenant.js'

/**
 * Writes the entry of an account deletion. As in recorded entries, only `description` contains the user id, without the
 * connection.
 */
export function writeDeletion(tenant: Tenant, userId: string): void {
  const description = `user_id: ${userId.split('|')[1]}`
  tenant.write(buildEntry('sdu', { userId }, { user_id: '', description }))
}

/** Writes the entry of a block. As in recorded entries of `sapi`, only the path of the request names the user. */
export function writeBlock(tenant: Tenant, userId: string, administratorId: string): void {
  const path = `/api/v2/users/${encodeURIComponent(userId)}`
  const details = { request: { method: 'patch', path, body: { blocked: true } } }
  tenant.write(buildEntry('sapi', { userId: administratorId }, { details }))
}
