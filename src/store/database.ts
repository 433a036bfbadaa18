import { PrismaPg } from '@prisma/adapter-pg'
import pg from 'pg'
import type { Logger } from 'pino'
import { type Backoff, backOff } from '../async/backoff.js'
import { hasCode, LastLogoutError } from '../errors.js'
import { schemaOf } from '../pg/connection.js'
import { createPool, type PoolTimeouts } from '../pg/pool.js'
import { createPreparedQuery, type PreparedQuery } from '../pg/prepared-query.js'
import {
  INSUFFICIENT_PRIVILEGE,
  isConflictState,
  isRefusedRowState,
  isRefusedState,
  isUnavailableState,
} from '../pg/sql-state.js'
import { isDriverOutage, TLS_REMEDY, unavailableError } from '../pg/unavailable.js'
import { Prisma, PrismaClient } from './generated/client.js'
import { type Tables, tablesIn } from './tables.js'

/** Options of every transaction that writes. */
export const TRANSACTION = {
  /** The default of a database or a role can be another level, at which the writes are not tested. */
  isolationLevel: 'ReadCommitted',
  /** Maximum time to wait for a connection, in milliseconds. */
  maxWait: 10_000,
  /** Maximum duration of the transaction, in milliseconds. */
  timeout: 60_000,
} as const

/** Maximum number of retries after a conflict with another transaction. */
const MAX_RETRIES = 6

const RETRY_BACKOFF: Backoff = { firstMs: 20, maxMs: 500 }

const KEEP_STATEMENTS =
  'for faster reads and writes, let the connection pooler support prepared statements (PgBouncer 1.21 or later: max_prepared_statements)'

/** A Prisma client, with the names of the tables for raw SQL. */
export type StoreClient = ReturnType<typeof withTables>

/** A transaction of a {@link StoreClient}. */
export type Transaction = Parameters<Parameters<StoreClient['$transaction']>[0]>[0]

/** Runs a transaction that writes. Retries after a conflict, as {@link query} does. */
export type Transact = <T>(run: (tx: Transaction) => Promise<T>) => Promise<T>

/** Runs raw SQL, inside or outside a transaction. */
export type Executor = Pick<StoreClient, '$executeRaw' | '$queryRaw' | 'tables'>

/** A Prisma client and prepared statements, which share a connection pool. */
export interface Database {
  prisma: StoreClient
  /** Runs a frequent statement as a prepared statement, outside of any transaction. */
  queryPrepared: PreparedQuery
  /** Loads the modules that Prisma otherwise loads at the first query. Does not connect. */
  load(): Promise<void>
  close(): Promise<void>
}

/**
 * Creates a database with a connection pool. The pool connects at the first query.
 *
 * @param databaseUrl The parameter `schema` of this URL names the schema.
 */
export function createDatabase(
  databaseUrl: string,
  log: Logger,
  timeouts: PoolTimeouts = {},
): Database {
  const schema = schemaOf(databaseUrl)
  const { pool, destroySockets } = createPool(databaseUrl, timeouts)
  // The pool replaces a broken idle connection. Without a listener, the `error` event would end the process.
  pool.on('error', (err) => log.debug({ err }, 'idle database connection lost'))
  const adapter = new PrismaPg(pool, { schema })
  const prisma = withTables(new PrismaClient({ adapter }), tablesIn(schema))
  return {
    prisma,
    queryPrepared: createPreparedQuery(pool, (err) =>
      log.info({ err, advice: KEEP_STATEMENTS }, 'prepared statements not kept by the pooler'),
    ),
    load: () => prisma.$connect(),
    async close() {
      await prisma.$disconnect()
      if (!pool.ending) await pool.end()
      destroySockets()
    },
  }
}

function withTables(prisma: PrismaClient, tables: Tables) {
  return prisma.$extends({ client: { tables } })
}

/** Returns a client whose statements read and change the tenant row only if it has this domain. */
export function forTenant(prisma: StoreClient, domain: string): StoreClient {
  const tables: Tables = { ...prisma.tables, isOwnTenant: Prisma.sql`domain = ${domain}` }
  return prisma.$extends({ client: { tables } }) as unknown as StoreClient
}

/**
 * Runs a query or a transaction. Retries with backoff after a conflict with another transaction.
 *
 * @param run Must run one statement or one transaction, so that a failed attempt changes nothing. `attempt` is 0 in the
 *   first call.
 * @throws `DATABASE_UNAVAILABLE` if the database cannot be used.
 * @throws `CONFIGURATION` if the database user lacks a privilege.
 */
export async function query<T>(run: (attempt: number) => Promise<T>): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await run(attempt)
    } catch (error) {
      if (attempt === MAX_RETRIES || !isConflictState(readState(error))) throw toStoreError(error)
      await backOff(attempt, RETRY_BACKOFF, new AbortController().signal)
    }
  }
}

/**
 * Runs one statement, without retries.
 *
 * @returns `null` if the statement conflicted with another transaction, or PostgreSQL refused one of its rows.
 * @throws The errors of {@link query}.
 */
export async function tryOnce<T>(run: () => Promise<T>): Promise<T | null> {
  try {
    return await run()
  } catch (error) {
    if (isConflictState(readState(error)) || isRefusedRow(error)) return null
    throw toStoreError(error)
  }
}

/** Whether PostgreSQL refused a value of a row, such as a character that the database's encoding does not contain. */
export function isRefusedRow(error: unknown): boolean {
  return isRefusedRowState(readState(error))
}

function toStoreError(error: unknown): unknown {
  const state = readState(error)
  if (state === INSUFFICIENT_PRIVILEGE) {
    return new LastLogoutError(
      'CONFIGURATION',
      `the database user lacks a privilege (SQLSTATE ${state}): \`last-logout doctor\` names it, and prints the SQL that grants it`,
      { cause: error },
    )
  }
  const { kind, reason } = readDriverCause(error)
  if (kind === 'TlsConnectionError') {
    // Prisma drops the code of a TLS failure, so this cannot be a `CONFIGURATION` error. At the start of the program,
    // `connectionFailure` throws that error.
    const message = `TLS failed for PostgreSQL (${reason}): ${TLS_REMEDY}`
    return new LastLogoutError('DATABASE_UNAVAILABLE', message, { cause: error })
  }
  return isConflictState(state) || isUnavailable(error) ? unavailableError(error, state) : error
}

/** Whether the error is an outage that can end by itself. Refused credentials, for example, must be corrected first. */
export function isTransientOutage(error: unknown): boolean {
  if (!hasCode(error, 'DATABASE_UNAVAILABLE')) return false
  const state = readState(error.cause)
  return state === undefined || !isRefusedState(state)
}

/** Creates the error for a tenant row that was deleted, or claimed for another tenant, while the program runs. */
export function tenantRowMissingError(): LastLogoutError {
  return new LastLogoutError(
    'DATABASE_NOT_MIGRATED',
    'the tenant row of this tenant is missing: it was deleted, or another tenant has claimed the database; restart this program, which creates the row again or names the other tenant',
  )
}

function isUnavailable(error: unknown): boolean {
  if (!(error instanceof Prisma.PrismaClientKnownRequestError)) return isDriverOutage(error)
  const state = readState(error)
  if (state !== undefined) return isUnavailableState(state)
  // Without an SQLSTATE, the server was unreachable, the connection broke, or no transaction could begin. The exception
  // is a column type that Prisma does not support.
  return readDriverCause(error).kind !== 'UnsupportedNativeDataType'
}

/** Reads the SQLSTATE of a driver error, with or without Prisma's wrapper. */
function readState(error: unknown): string | undefined {
  if (error instanceof pg.DatabaseError) return error.code
  const { originalCode } = readDriverCause(error)
  return typeof originalCode === 'string' ? originalCode : undefined
}

function readDriverCause(error: unknown): Record<string, unknown> {
  if (!(error instanceof Prisma.PrismaClientKnownRequestError)) return {}
  const adapterError = error.meta?.driverAdapterError as
    | { cause?: Record<string, unknown> }
    | undefined
  return adapterError?.cause ?? {}
}
