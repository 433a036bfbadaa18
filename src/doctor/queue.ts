import type { Config } from '../config/config.js'
import { hasCode } from '../errors.js'
import { findRedis } from '../jobs/find-redis.js'
import { JOBS_DEFAULTS } from '../jobs/jobs.js'
import { readSchedule } from '../jobs/read-schedule.js'
import { type RedisUrls, toKeyPrefix } from '../jobs/redis.js'
import { explainRedisFailure, UNREACHABLE } from '../jobs/redis-failure.js'
import { queueNameInDatabase } from '../service/open-database.js'
import { type Check, describeError, failure, ok, skipped, warning } from './check.js'

const NAME = 'queue'

/** Checks the store of the job schedule: Redis if `REDIS_URL` is set, otherwise PostgreSQL. */
export async function checkQueue(config: Config, databaseUrl: string | null): Promise<Check[]> {
  const { redisUrls, database, auth0 } = config
  const name = databaseUrl === null ? auth0.domain : queueNameInDatabase(config, databaseUrl)
  // On Redis, the name of the queue begins with this name. The check needs no more.
  if (redisUrls !== undefined) return [await checkRedis(redisUrls, name)]
  if (databaseUrl === null) return skipped([NAME], 'there is no database')
  const { directUrl } = database
  const variable = directUrl === undefined ? 'DATABASE_URL' : 'DATABASE_DIRECT_URL'
  return [await checkPostgres(directUrl ?? databaseUrl, name, variable)]
}

async function checkRedis(urls: RedisUrls, name: string): Promise<Check> {
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
        'Redis responds, but is a replica, which rejects writes',
        'set REDIS_URL to its primary',
      )
    }
    if (maxmemoryPolicy === 'noeviction')
      return ok(NAME, 'Redis responds, maxmemory-policy noeviction')
    if (maxmemoryPolicy === undefined) {
      return warning(
        NAME,
        'Redis responds, but does not state its maxmemory-policy',
        'check that it is noeviction; to let it be checked, grant the user +info',
      )
    }
    return warning(
      NAME,
      `Redis responds, with maxmemory-policy ${maxmemoryPolicy}: it may evict the schedule, and then polls stop until the watchdog restores it`,
      'set maxmemory-policy to noeviction',
    )
  } catch (error) {
    if (hasCode(error, 'CONFIGURATION')) return failure(NAME, error.message)
    const { kind, cause, code, advice } = explainRedisFailure(error, urls[0])
    const problem = kind === UNREACHABLE ? 'does not respond' : 'cannot be used'
    return failure(NAME, `Redis ${problem} (${code ?? describeError(cause)})`, advice)
  }
}

async function checkPostgres(url: string, name: string, variable: string): Promise<Check> {
  try {
    await readSchedule({ kind: 'postgres', url }, name)
    return ok(NAME, 'in PostgreSQL, and its tables are up to date')
  } catch (error) {
    if (hasCode(error, 'CONFIGURATION')) return failure(NAME, error.message)
    return hasCode(error, 'DATABASE_NOT_MIGRATED')
      ? failure(
          NAME,
          'its tables in PostgreSQL are missing, or older than this version',
          'run `last-logout migrate`, or set REDIS_URL',
        )
      : failure(NAME, `cannot be opened (${describeError(error)})`, `check ${variable}`)
  }
}
