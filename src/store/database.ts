import { PrismaPg } from '@prisma/adapter-pg'
import pg from 'pg'
import type { Logger } from 'pino'
import { hasCode, LastLogoutError } from '../errors.js'
import { createPool, type PoolTimeouts } from '../pg/pool.js'
import { isRefusedState, isUnavailableState } from '../pg/sql-state.js'
import { unavailable } from '../pg/unavailable.js'
import { Prisma, PrismaClient } from './generated/client.js'

/** The database through Prisma. */
export interface Database {
  prisma: PrismaClient
  close(): Promise<void>
}

/** Opens a pool of connections; none is made before the first query. */
export function createDatabase(
  databaseUrl: string,
  log: Logger,
  timeouts: PoolTimeouts = {},
): Database {
  const { pool, leave } = createPool(databaseUrl, timeouts)
  const adapter = new PrismaPg(pool, {
    disposeExternalPool: true,
    // An idle connection that breaks is replaced at the next query; without a listener it would end
    // the process.
    onPoolError: (err) => log.debug({ err }, 'idle database connection lost'),
  })
  const prisma = new PrismaClient({ adapter })
  return {
    prisma,
    async close() {
      await prisma.$disconnect()
      leave()
    },
  }
}

/** Runs a query; a database that cannot be used becomes `DATABASE_UNAVAILABLE`. */
export async function query<T>(run: () => Promise<T>): Promise<T> {
  try {
    return await run()
  } catch (error) {
    throw isUnavailable(error) ? unavailable(error, readState(error)) : error
  }
}

/** Whether a database that is unavailable may come back by itself: not where it refuses who asks. */
export function mayComeBack(error: unknown): boolean {
  if (!hasCode(error, 'DATABASE_UNAVAILABLE')) return false
  const state = readState(error.cause)
  return state === undefined || !isRefusedState(state)
}

/** What is thrown where the tenant row has been deleted under a running program. */
export function tenantRowMissing(): LastLogoutError {
  return new LastLogoutError(
    'DATABASE_NOT_MIGRATED',
    'the tenant row is missing from the database: restart this program, which makes it anew',
  )
}

function isUnavailable(error: unknown): boolean {
  if (!(error instanceof Prisma.PrismaClientKnownRequestError)) {
    // The pool's and the driver's time-outs are plain errors without a code; our own faults are not.
    return error instanceof Error && Object.getPrototypeOf(error) === Error.prototype
  }
  const state = readState(error)
  if (state !== undefined) return isUnavailableState(state)
  // Without a SQLSTATE the server was not reached, the connection broke, or no transaction could begin.
  return readDriverCause(error).kind !== 'UnsupportedNativeDataType'
}

/** The SQLSTATE of the driver's error, be it as it is or as Prisma wraps it. */
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
