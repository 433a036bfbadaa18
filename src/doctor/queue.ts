import type { Config } from '../config/config.js'
import { hasCode } from '../errors.js'
import { assertQueueMigrated } from '../jobs/postgres.js'
import { findRedis } from '../jobs/redis.js'
import { queueConnection } from '../service/open-database.js'
import { type Check, describeError, failure, ok, skipped, warning } from './check.js'

const NAME = 'queue'

/** Checks the store of the schedule: Redis, or else PostgreSQL. */
export async function checkQueue(config: Config, databaseUrl: string | null): Promise<Check[]> {
  if (config.redisUrl !== undefined) return [await checkRedis(config.redisUrl)]
  if (databaseUrl === null) return skipped([NAME], 'there is no database')
  return [await checkPostgres(queueConnection(config, databaseUrl).url)]
}

async function checkRedis(url: string): Promise<Check> {
  try {
    const { isReplica, maxmemoryPolicy, disconnect } = await findRedis(url)
    disconnect()
    if (isReplica) {
      return failure(
        NAME,
        'Redis answers, but is a replica, which rejects writes',
        'set REDIS_URL to its primary',
      )
    }
    if (maxmemoryPolicy === 'noeviction')
      return ok(NAME, 'Redis answers, maxmemory-policy noeviction')
    if (maxmemoryPolicy === undefined) {
      return warning(
        NAME,
        'Redis answers, but does not state its maxmemory-policy',
        'check that it is noeviction',
      )
    }
    return warning(
      NAME,
      `Redis answers, with maxmemory-policy ${maxmemoryPolicy}: it may evict the schedule, and then polls stop until the watchdog restores it`,
      'set maxmemory-policy to noeviction',
    )
  } catch (error) {
    return failure(
      NAME,
      `Redis does not answer (${describeError(error)})`,
      'check that Redis runs, that it is reachable from here, and REDIS_URL',
    )
  }
}

async function checkPostgres(url: string): Promise<Check> {
  try {
    await assertQueueMigrated(url)
    return ok(NAME, 'in PostgreSQL, and its tables are up to date')
  } catch (error) {
    return hasCode(error, 'DATABASE_NOT_MIGRATED')
      ? failure(
          NAME,
          'its tables in PostgreSQL are missing, or older than this version',
          'run `last-logout migrate`, or set REDIS_URL',
        )
      : failure(
          NAME,
          `its tables cannot be read (${describeError(error)})`,
          'check DATABASE_DIRECT_URL',
        )
  }
}
