import { PrismaPg } from '@prisma/adapter-pg'
import pg from 'pg'
import type { Logger } from 'pino'
import { hasCode, LastLogoutError } from '../errors.js'
import { createPool, type PoolTimeouts } from '../pg/pool.js'
import { isRefusedState, isUnavailableState } from '../pg/sql-state.js'
import { unavailable } from '../pg/unavailable.js'
import { Prisma, PrismaClient } from './generated/client.js'

/** The Prisma client, over a connection pool. */
export interface Database {
  prisma: PrismaClient
  close(): Promise<void>
}

/** Creates a Prisma client over a connection pool. It connects with the first query. */
export function createDatabase(
  databaseUrl: string,
  log: Logger,
  timeouts: PoolTimeouts = {},
): Database {
  const { pool, destroySockets } = createPool(databaseUrl, timeouts)
  const adapter = new PrismaPg(pool, {
    disposeExternalPool: true,
    // The next query replaces a broken idle connection. Without a listener the event would end the process.
    onPoolError: (err) => log.debug({ err }, 'idle database connection lost'),
  })
  const prisma = new PrismaClient({ adapter })
  return {
    prisma,
    async close() {
      await prisma.$disconnect()
      destroySockets()
    },
  }
}

/**
 * Runs a query.
 *
 * @throws `DATABASE_UNAVAILABLE` instead of the driver's error when the database cannot be used.
 */
export async function query<T>(run: () => Promise<T>): Promise<T> {
  try {
    return await run()
  } catch (error) {
    throw isUnavailable(error) ? unavailable(error, readState(error)) : error
  }
}

/** Whether an outage of the database can end by itself: not when the server refuses the credentials. */
export function isTransientOutage(error: unknown): boolean {
  if (!hasCode(error, 'DATABASE_UNAVAILABLE')) return false
  const state = readState(error.cause)
  return state === undefined || !isRefusedState(state)
}

/** Creates the error for a tenant row that was deleted while the program runs. */
export function tenantRowMissing(): LastLogoutError {
  return new LastLogoutError(
    'DATABASE_NOT_MIGRATED',
    'the tenant row is missing from the database: restart this program, which creates it again',
  )
}

function isUnavailable(error: unknown): boolean {
  if (!(error instanceof Prisma.PrismaClientKnownRequestError)) {
    // Timeouts of the pool and the driver are plain errors without a code. Programming errors are subclasses.
    return error instanceof Error && Object.getPrototypeOf(error) === Error.prototype
  }
  const state = readState(error)
  if (state !== undefined) return isUnavailableState(state)
  // No SQLSTATE: the server was unreachable, the connection broke, or no transaction could begin.
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
