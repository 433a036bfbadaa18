import type { KnownLogouts } from '../rules/judge.js'
import type { Fingerprint } from './fingerprint.js'
import { createTable } from './table.js'

/** A logout of a user. */
export type UserLogout = Pick<NonNullable<KnownLogouts['user']>, 'at' | 'allSessionsAt'>

/**
 * Creates the table of users. Few users have a logout of all sessions. These logouts have a table of their own, which is
 * so small that the processor's cache holds it.
 */
export function createUserTable() {
  const lastLogouts = createTable()
  const allSessions = createTable()
  let hasAllSessionsRow = false
  return {
    hasAllSessionsRow: (): boolean => hasAllSessionsRow,
    beginLoad(): void {
      lastLogouts.beginLoad()
      allSessions.beginLoad()
    },
    merge(id: Fingerprint, { at, allSessionsAt }: UserLogout): boolean {
      const isNew = lastLogouts.merge(id, at, false)
      // If `allSessions` has a row of the user, the change marks this row as delivered even without `allSessionsAt`.
      const hasRow = hasAllSessionsRow && allSessions.find(id) !== -1
      if (allSessionsAt === null && !hasRow) return isNew
      hasAllSessionsRow = true
      // The instant 0 is earlier than every stored instant, so it does not change the row.
      return allSessions.merge(id, allSessionsAt ?? 0, false) || isNew
    },
    /** Without `needsLastLogout`, finds only the last logout of all sessions. */
    find(id: Fingerprint, needsLastLogout: boolean): KnownLogouts['user'] {
      const allSessionsRow = allSessions.find(id)
      const allSessionsAt = allSessionsRow < 0 ? null : allSessions.at(allSessionsRow)
      if (!needsLastLogout) {
        return allSessionsAt === null ? null : { at: allSessionsAt, allSessionsAt }
      }
      const row = lastLogouts.find(id)
      return row < 0 ? null : { at: lastLogouts.at(row), allSessionsAt }
    },
    dropUndelivered(): void {
      lastLogouts.dropUndelivered()
      allSessions.dropUndelivered()
    },
    count: () => lastLogouts.count(),
  }
}
