import { PrismaPg } from '@prisma/adapter-pg'
import type { Logger } from 'pino'
import { LastLogoutError } from '../errors.js'
import { Prisma, PrismaClient } from './generated/client.js'

/** How long a query may wait for a connection, in milliseconds. */
export const CONNECT_TIMEOUT_MS = 5_000
/** How long a query may then wait for its answer, in milliseconds. */
export const QUERY_TIMEOUT_MS = 15_000

/** SQLSTATE classes that say the server cannot be used now, whatever the query was. */
const UNAVAILABLE_CLASSES = new Set(['08', '28', '3D', '53', '57'])

/** The database through Prisma. */
export interface Database {
  prisma: PrismaClient
  close(): Promise<void>
}

/** Opens a pool of connections; none is made before the first query. */
export function createDatabase(databaseUrl: string, log: Logger): Database {
  const adapter = new PrismaPg(
    {
      connectionString: databaseUrl,
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      // By the client: a server that is gone cannot, and a transaction pooler takes no settings.
      query_timeout: QUERY_TIMEOUT_MS,
      keepAlive: true,
    },
    // An idle connection that breaks is replaced at the next query; without a listener it would end
    // the process.
    { onPoolError: (err) => log.debug({ err }, 'idle database connection lost') },
  )
  const prisma = new PrismaClient({ adapter })
  return { prisma, close: () => prisma.$disconnect() }
}

/** Runs a query; a database that cannot be used becomes `DATABASE_UNAVAILABLE`. */
export async function query<T>(run: () => Promise<T>): Promise<T> {
  try {
    return await run()
  } catch (error) {
    throw isUnavailable(error) ? unavailable(error) : error
  }
}

/** What is thrown while PostgreSQL cannot be used. */
export function unavailable(cause: unknown): LastLogoutError {
  return new LastLogoutError(
    'DATABASE_UNAVAILABLE',
    'PostgreSQL does not answer: check that it runs and that DATABASE_URL is right',
    { cause },
  )
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
  const { originalCode, kind } = readDriverCause(error)
  if (typeof originalCode === 'string') return UNAVAILABLE_CLASSES.has(originalCode.slice(0, 2))
  // Without a SQLSTATE the server was not reached, the connection broke, or no transaction could begin.
  return kind !== 'UnsupportedNativeDataType'
}

function readDriverCause(error: Prisma.PrismaClientKnownRequestError): Record<string, unknown> {
  const adapterError = error.meta?.driverAdapterError as
    | { cause?: Record<string, unknown> }
    | undefined
  return adapterError?.cause ?? {}
}
