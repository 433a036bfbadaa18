import { findUnwritable } from '../store/inspect.js'
import { type Check, describeError, failure, ok, skipped } from './check.js'

const NAME = 'privileges'

/**
 * Checks that the database user may write the tables of the service.
 *
 * @param url The URL of a database with migrated tables; `null`: there is none.
 */
export async function checkPrivileges(url: string | null): Promise<Check[]> {
  if (url === null) return skipped([NAME], 'the tables cannot be read')
  try {
    const tables = await findUnwritable(url)
    if (tables.length === 0) return [ok(NAME, 'the database user may write all tables')]
    const names = tables.join(', ')
    return [
      failure(
        NAME,
        `the database user may not write ${names}: the service does not run`,
        `run, as the owner of the tables: GRANT SELECT, INSERT, UPDATE, DELETE ON ${names} TO that user; or set another user in DATABASE_URL`,
      ),
    ]
  } catch (error) {
    return [
      failure(
        NAME,
        `the privileges cannot be read (${describeError(error)})`,
        'check DATABASE_URL',
      ),
    ]
  }
}
