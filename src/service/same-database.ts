import { withClient } from '../pg/client.js'
import { receivesNotifications } from '../pg/notifications.js'

/**
 * Whether both URLs lead to the same database: PostgreSQL delivers a notification only within a database. A connection
 * pooler in front of the first URL forwards it.
 *
 * @param directUrl A URL without a connection pooler in between.
 * @throws `DATABASE_UNAVAILABLE` when a connection fails or breaks.
 */
export function isSameDatabase(url: string, directUrl: string): Promise<boolean> {
  return withClient(directUrl, (client) => receivesNotifications(client, url))
}
