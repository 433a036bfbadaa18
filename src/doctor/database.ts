import type { Closers } from '../async/closers.js'
import type { Config } from '../config/config.js'
import { findEmbeddedPostgres } from '../embedded-postgres/find.js'
import { createEmbeddedPostgres } from '../embedded-postgres/server.js'
import { hasCode, LastLogoutError } from '../errors.js'
import { inspectServer, inspectTenant, type TenantState } from '../store/inspect.js'
import { assertMigrated } from '../store/migrations.js'
import { assertServerSupported } from '../store/supported-server.js'
import { type Check, describeError, failure, ok, skipped, warning } from './check.js'

/** What was found out about the database. */
export interface DatabaseFindings {
  checks: Check[]
  /** Where it answers; `null`: nowhere. */
  url: string | null
  /** Whether `tenant` could be read. */
  isRead: boolean
  /** `null`: no program has used it yet. */
  tenant: TenantState | null
  /** How far its clock is ahead of that of this machine, in milliseconds; `null`: it does not answer. */
  clockAheadMs: number | null
}

const UNREAD = { isRead: false, tenant: null, clockAheadMs: null }

/** Looks at the database and its tables. Creates neither; starts an embedded server that is there and stopped. */
export async function examineDatabase(
  config: Config<'database'>,
  closers: Closers,
): Promise<DatabaseFindings> {
  const { directUrl } = config.database
  const direct =
    directUrl === undefined ? [] : [(await examineServer('direct database', directUrl)).check]
  try {
    const found = await locate(config, closers)
    if (typeof found !== 'string') return lost([found, ...direct])
    const { check: server, clockAheadMs } = await examineServer('database', found)
    if (server.status === 'failure') return lost([server, ...direct])
    const { checks, ...rest } = await examineTables(found, config.auth0.domain)
    return { checks: [server, ...direct, ...checks], url: found, ...rest, clockAheadMs }
  } catch (error) {
    return lost([toUnreadable(error), ...direct])
  }
}

function lost(checks: Check[]): DatabaseFindings {
  return {
    ...UNREAD,
    url: null,
    checks: [...checks, ...skipped(['migrations'], 'there is no database')],
  }
}

async function locate({ database }: Config<'database'>, closers: Closers): Promise<string | Check> {
  if (database.url !== undefined) return database.url
  const { dataDir } = database
  const found = await findEmbeddedPostgres(dataDir)
  switch (found.state) {
    case 'missing':
      return warning(
        'database',
        `there is none in ${dataDir} yet`,
        'nothing to do: `last-logout start` makes it',
      )
    case 'locked':
      return failure(
        'database',
        `the one in ${dataDir} is in use (postgres/postmaster.pid), and does not answer from here`,
        'run this where the service runs, such as in its container (docker exec); if none runs, it has crashed: start it again',
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

interface ServerFindings {
  check: Check
  clockAheadMs: number | null
}

async function examineServer(name: string, url: string): Promise<ServerFindings> {
  try {
    const { version, latencyMs, readOnly, clockAheadMs } = await inspectServer(url)
    if (name === 'database') await assertServerSupported(url)
    const message = `PostgreSQL ${version}, answers in ${Math.max(1, Math.round(latencyMs))} ms`
    const check = readOnly
      ? failure(
          name,
          `${message}, and takes no writes`,
          'use the URL of the primary, not that of a replica',
        )
      : ok(name, message)
    return { check, clockAheadMs }
  } catch (error) {
    return { check: toUnreachable(name, error), clockAheadMs: null }
  }
}

function toUnreadable(error: unknown): Check {
  if (error instanceof LastLogoutError) return failure('database', error.message)
  return failure(
    'database',
    `it cannot be read (${describeError(error)})`,
    'run this as the user who runs the service, with the same database user',
  )
}

function toUnreachable(name: string, error: unknown): Check {
  if (hasCode(error, 'CONFIGURATION')) return failure(name, error.message)
  const variable = name === 'database' ? 'DATABASE_URL' : 'DATABASE_DIRECT_URL'
  const cause = hasCode(error, 'DATABASE_UNAVAILABLE') ? error.cause : error
  const code = describeError(cause)
  const message = `PostgreSQL does not answer (${code})`
  if (code.startsWith('28')) {
    return failure(name, message, `it refuses the user or the password: correct ${variable}`)
  }
  if (code === '3D000') {
    return failure(name, message, `the database does not exist: create it, or correct ${variable}`)
  }
  return failure(
    name,
    message,
    `check that it runs, that it can be reached from here, and ${variable}`,
  )
}

async function examineTables(
  url: string,
  domain: string,
): Promise<Pick<DatabaseFindings, 'checks' | 'isRead' | 'tenant'>> {
  try {
    await assertMigrated(url)
  } catch (error) {
    return { ...UNREAD, checks: [failure('migrations', describeError(error))] }
  }
  const tenant = await inspectTenant(url)
  const isForeign = tenant !== null && tenant.checkpoint !== null && tenant.domain !== domain
  const migrated = isForeign
    ? failure(
        'migrations',
        `the database serves the tenant ${tenant.domain}, not ${domain}`,
        'give each tenant its own database, or correct AUTH0_DOMAIN',
      )
    : ok('migrations', 'all applied')
  return { checks: [migrated], isRead: !isForeign, tenant: isForeign ? null : tenant }
}
