import type { Config } from '../config/config.js'
import { hasCode } from '../errors.js'
import { findRedis } from '../jobs/find-redis.js'
import { JOBS_DEFAULTS } from '../jobs/jobs.js'
import { assertQueueMigrated } from '../jobs/postgres.js'
import { type RedisUrls, toKeyPrefix } from '../jobs/redis.js'
import { explainRedisFailure, UNREACHABLE } from '../jobs/redis-failure.js'
import { type Check, describeError, failure, ok, skipped, warning } from './check.js'

const NAME = 'queue'

/** Looks at the store of the schedule. */
export async function examineQueue(config: Config, databaseUrl: string | null): Promise<Check[]> {
  const { redisUrls, database, auth0 } = config
  if (redisUrls !== undefined) return [await examineRedis(redisUrls, auth0.domain)]
  if (databaseUrl === null) return skipped([NAME], 'it is in the database, and there is none')
  return [await examinePostgres(database.directUrl ?? databaseUrl)]
}

async function examineRedis(urls: RedisUrls, name: string): Promise<Check> {
  try {
    const { timeoutMs } = JOBS_DEFAULTS
    const { isReplica, maxmemoryPolicy } = await findRedis({
      urls,
      keyPrefix: toKeyPrefix(name),
      timeoutMs,
    })
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
        'see that it is noeviction; to let it be checked, grant the user +info',
      )
    }
    return warning(
      NAME,
      `Redis answers, with maxmemory-policy ${maxmemoryPolicy}: it may evict the schedule, and polls stop until that is noticed`,
      'set maxmemory-policy to noeviction',
    )
  } catch (error) {
    if (hasCode(error, 'CONFIGURATION')) return failure(NAME, error.message)
    const { kind, cause, code, advice } = explainRedisFailure(error, urls[0])
    const problem = kind === UNREACHABLE ? 'does not answer' : 'cannot be used'
    return failure(NAME, `Redis ${problem} (${code ?? describeError(cause)})`, advice)
  }
}

async function examinePostgres(url: string): Promise<Check> {
  try {
    await assertQueueMigrated(url)
    return ok(NAME, 'in PostgreSQL, its tables up to date')
  } catch (error) {
    return hasCode(error, 'DATABASE_NOT_MIGRATED')
      ? failure(
          NAME,
          'its tables are missing in PostgreSQL, or older than this program',
          'run `last-logout migrate`, or set REDIS_URL',
        )
      : failure(NAME, `cannot be read (${describeError(error)})`, 'check DATABASE_DIRECT_URL')
  }
}
