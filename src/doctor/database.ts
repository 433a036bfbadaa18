import type { Closers } from '../async/closers.js'
import type { Config } from '../config/config.js'
import { findEmbeddedPostgres } from '../embedded-postgres/find.js'
import { createEmbeddedPostgres } from '../embedded-postgres/server.js'
import { hasCode, LastLogoutError } from '../errors.js'
import { inspectServer, inspectTenant, type TenantState } from '../store/inspect.js'
import { assertMigrated } from '../store/migrations.js'
import { assertServerSupported } from '../store/supported-server.js'
import { type Check, describeError, failure, ok, skipped, warning } from './check.js'

/** The results of the checks of the database, and data for later checks. */
export interface DatabaseResult {
  checks: Check[]
  /** URL of the database; `null`: the database is missing or unreachable. */
  url: string | null
  /** Whether the tables could be read. */
  isReadable: boolean
  /** `null`: no worker has used the database yet. */
  tenant: TenantState | null
  /** How far the database's clock is ahead of the clock of this machine, in milliseconds; `null`: unknown. */
  clockAheadMs: number | null
}

const UNREADABLE = { isReadable: false, tenant: null, clockAheadMs: null }

/**
 * Checks the database and its tables. Creates neither, but starts the embedded server if it is stopped.
 *
 * @param closers Receives a function that stops the embedded server again.
 */
export async function checkDatabase(
  config: Config<'database'>,
  closers: Closers,
): Promise<DatabaseResult> {
  const { directUrl } = config.database
  const directChecks =
    directUrl === undefined ? [] : [(await checkServer('direct database', directUrl)).check]
  try {
    const url = await findUrl(config, closers)
    if (typeof url !== 'string') return toUnavailableResult([url, ...directChecks])
    const { check: server, clockAheadMs } = await checkServer('database', url)
    if (server.status === 'failure') return toUnavailableResult([server, ...directChecks])
    const { checks, ...tables } = await checkTables(url, config.auth0.domain)
    return { checks: [server, ...directChecks, ...checks], url, ...tables, clockAheadMs }
  } catch (error) {
    return toUnavailableResult([toUnreadableCheck(error), ...directChecks])
  }
}

function toUnavailableResult(checks: Check[]): DatabaseResult {
  return {
    ...UNREADABLE,
    url: null,
    checks: [...checks, ...skipped(['migrations'], 'there is no database')],
  }
}

/** Returns the URL of the database, or the result of the check if there is no usable database. */
async function findUrl(
  { database }: Config<'database'>,
  closers: Closers,
): Promise<string | Check> {
  if (database.url !== undefined) return database.url
  const { dataDir } = database
  const found = await findEmbeddedPostgres(dataDir)
  switch (found.state) {
    case 'missing':
      return warning(
        'database',
        `there is no database in ${dataDir} yet`,
        'nothing to do: `last-logout start` creates it',
      )
    case 'locked':
      return failure(
        'database',
        `the database in ${dataDir} is in use (postgres/postmaster.pid), but does not respond from here`,
        'run this command where the service runs, such as in its container (docker exec). If no service runs, the last one crashed: start it again',
      )
    case 'running':
      return found.url
    case 'stopped': {
      const embedded = await createEmbeddedPostgres({ dataDir })
      closers.push(() => embedded.close())
      return embedded.url
    }
    default:
      return found satisfies never
  }
}

interface ServerResult {
  check: Check
  clockAheadMs: number | null
}

async function checkServer(name: string, url: string): Promise<ServerResult> {
  try {
    const { version, latencyMs, readOnly, encodingProblem, clockAheadMs } = await inspectServer(url)
    if (name === 'database') await assertServerSupported(url)
    const message = `PostgreSQL ${version}, responds in ${Math.max(1, Math.round(latencyMs))} ms`
    const check = readOnly
      ? failure(
          name,
          `${message}, but rejects writes`,
          'use the URL of the primary instead of a replica',
        )
      : ok(name, message)
    return {
      check: encodingProblem === null ? check : failure(name, encodingProblem),
      clockAheadMs,
    }
  } catch (error) {
    return { check: toUnreachableCheck(name, error), clockAheadMs: null }
  }
}

function toUnreadableCheck(error: unknown): Check {
  if (error instanceof LastLogoutError) return failure('database', error.message)
  return failure(
    'database',
    `the database cannot be read (${describeError(error)})`,
    'run this command as the system user of the service, with its database user',
  )
}

function toUnreachableCheck(name: string, error: unknown): Check {
  if (hasCode(error, 'CONFIGURATION')) return failure(name, error.message)
  const variable = name === 'database' ? 'DATABASE_URL' : 'DATABASE_DIRECT_URL'
  const cause = hasCode(error, 'DATABASE_UNAVAILABLE') ? error.cause : error
  const code = describeError(cause)
  const message = `PostgreSQL does not respond (${code})`
  if (code.startsWith('28')) {
    return failure(
      name,
      message,
      `the server rejects the user or the password: correct ${variable}`,
    )
  }
  if (code === '3D000') {
    return failure(name, message, `the database does not exist: create it, or correct ${variable}`)
  }
  return failure(
    name,
    message,
    `check that PostgreSQL runs and is reachable from this host, and that ${variable} is correct`,
  )
}

async function checkTables(
  url: string,
  domain: string,
): Promise<Pick<DatabaseResult, 'checks' | 'isReadable' | 'tenant'>> {
  try {
    await assertMigrated(url)
  } catch (error) {
    return { ...UNREADABLE, checks: [failure('migrations', describeError(error))] }
  }
  const tenant = await inspectTenant(url)
  const isOtherTenant = tenant !== null && tenant.checkpoint !== null && tenant.domain !== domain
  const migrationsCheck = isOtherTenant
    ? failure(
        'migrations',
        `the database serves the tenant ${tenant.domain}, not ${domain}`,
        'use one database for each tenant, or correct AUTH0_DOMAIN',
      )
    : ok('migrations', 'all migrations are applied')
  return {
    checks: [migrationsCheck],
    isReadable: !isOtherTenant,
    tenant: isOtherTenant ? null : tenant,
  }
}
