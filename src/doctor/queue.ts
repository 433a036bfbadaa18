import type { Config } from '../config/config.js'
import { hasCode } from '../errors.js'
import { probePostgresQueue } from '../jobs/backend.js'
import { findRedis } from '../jobs/redis.js'
import { queueConnection } from '../service/open-database.js'
import { type Check, describeError, failure, ok, skipped, warning } from './check.js'

const NAME = 'queue'

/** Looks at the store of the schedule. */
export async function examineQueue(config: Config, databaseUrl: string | null): Promise<Check[]> {
  if (config.redisUrl !== undefined) return [await examineRedis(config.redisUrl)]
  if (databaseUrl === null) return skipped([NAME], 'it is in the database, and there is none')
  return [await examinePostgres(config, queueConnection(config, databaseUrl).url)]
}

async function examineRedis(url: string): Promise<Check> {
  try {
    const { isReplica, maxmemoryPolicy, disconnect } = await findRedis(url)
    disconnect()
    if (isReplica) {
      return failure(
        NAME,
        'Redis answers, and is a replica: it takes no writes',
        'name its primary in REDIS_URL',
      )
    }
    if (maxmemoryPolicy === 'noeviction')
      return ok(NAME, 'Redis answers, maxmemory-policy noeviction')
    if (maxmemoryPolicy === undefined) {
      return warning(
        NAME,
        'Redis answers, and does not tell its maxmemory-policy',
        'see that it is noeviction',
      )
    }
    return warning(
      NAME,
      `Redis answers, with maxmemory-policy ${maxmemoryPolicy}: it may evict the schedule, and polls stop until that is noticed`,
      'set maxmemory-policy to noeviction',
    )
  } catch (error) {
    return failure(
      NAME,
      `Redis does not answer (${describeError(error)})`,
      'check that it runs, that it can be reached from here, and REDIS_URL',
    )
  }
}

async function examinePostgres({ auth0 }: Config, url: string): Promise<Check> {
  try {
    await probePostgresQueue(url, auth0.domain)
    return ok(NAME, 'in PostgreSQL, its tables up to date')
  } catch (error) {
    if (hasCode(error, 'CONFIGURATION')) return failure(NAME, error.message)
    return hasCode(error, 'DATABASE_NOT_MIGRATED')
      ? failure(
          NAME,
          'its tables are missing in PostgreSQL, or older than this program',
          'run `last-logout migrate`, or set REDIS_URL',
        )
      : failure(NAME, `cannot be opened (${describeError(error)})`, 'check DATABASE_DIRECT_URL')
  }
}
