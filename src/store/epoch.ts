import type { Instant } from '../rules/instant.js'
import { Prisma } from './generated/client.js'

/**
 * Instants cross the driver as epochs in milliseconds, in both directions: how PostgreSQL prints and
 * reads a timestamptz depends on the time zone and the DateStyle of the session, and the driver adapter
 * of Prisma drops the offset (https://github.com/prisma/orm/issues/26786).
 */

/** A clock as SQL: a numeric, milliseconds since the epoch. */
export type SqlClock = () => Prisma.Sql

/** The clock of the database. Unlike `now()` it does not stand still within a transaction. */
export const databaseClock: SqlClock = () =>
  Prisma.sql`(extract(epoch FROM clock_timestamp()) * 1000)`

/** A clock that gives whole milliseconds, in place of the database's. */
export function fixedClock(now: () => Instant): SqlClock {
  return () => Prisma.sql`(${now()}::float8)::numeric`
}

/** What a clock shows, in whole milliseconds since the epoch. */
export function readClock(clock: SqlClock): Prisma.Sql {
  return Prisma.sql`to_json(floor(${clock()})::bigint)`
}

/** A timestamptz as milliseconds since the epoch. */
export function toEpoch(expression: string): Prisma.Sql {
  return Prisma.raw(toEpochSql(expression))
}

/**
 * The same as text, for statements that Prisma does not send. JSON is parsed to a number, which a bigint is not;
 * and `extra_float_digits` of the session decides how a float8 is printed.
 */
export function toEpochSql(expression: string): string {
  return `to_json(floor(extract(epoch FROM ${expression}) * 1000)::bigint)`
}

/** An instant as a timestamptz. Throws a `RangeError` on what is no whole number: PostgreSQL takes infinity. */
export function timestamp(at: Instant | null): Prisma.Sql {
  if (at !== null && !Number.isSafeInteger(at)) throw new RangeError(`not an instant: ${at}`)
  return Prisma.sql`to_timestamp(${at}::float8 / 1000)`
}

/** An expression of SQL in milliseconds since the epoch as a timestamptz, moved by `offsetMs`. */
export function timestampOf(epochMs: Prisma.Sql, offsetMs = 0): Prisma.Sql {
  return Prisma.sql`to_timestamp(((${epochMs})::float8 + ${offsetMs}::float8) / 1000)`
}
