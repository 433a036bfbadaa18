import { findMissingPrivileges } from '../store/privileges.js'
import { type Check, describeError, failure, ok, skipped } from './check.js'

const NAME = 'privileges'

/** Whether the database user may write what the service writes. `url` of migrated tables; `null`: there are none. */
export async function examinePrivileges(url: string | null): Promise<Check[]> {
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
    return [failure(NAME, `cannot be read (${describeError(error)})`, 'check DATABASE_URL')]
  }
}
