import { findMissingPrivileges } from '../store/privileges.js'
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
    const missing = await findMissingPrivileges(url)
    if (missing === null) return [ok(NAME, 'the database user may write the tables')]
    return [
      failure(
        NAME,
        `the database user lacks ${missing.description}`,
        `as the owner of the tables, run: ${missing.grant}`,
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
