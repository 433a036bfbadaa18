import type { Instant } from '../rules/instant.js'
import { Prisma } from './generated/client.js'

/*
 * This file contains every conversion between instants and SQL. The driver transfers instants as milliseconds since the
 * epoch, in both directions. As text, a timestamptz would depend on the time zone and the DateStyle of the session, and
 * Prisma's driver adapter would drop the offset (https://github.com/prisma/orm/issues/26786).
 */

/** A clock as SQL: a numeric, in milliseconds since the epoch. */
export type SqlClock = () => Prisma.Sql

/** The clock of the database. It advances within a transaction, unlike `now()`. */
export const databaseClock: SqlClock = () =>
  Prisma.sql`(extract(epoch FROM clock_timestamp()) * 1000)`

/** A clock for tests, in place of the database's clock. `now` returns whole milliseconds. */
export function clockForTests(now: () => Instant): SqlClock {
  return () => Prisma.sql`(${now()}::float8)::numeric`
}

/** Returns SQL that reads a clock, in whole milliseconds since the epoch. */
export function readClock(clock: SqlClock): Prisma.Sql {
  return Prisma.sql`to_json(floor(${clock()})::bigint)`
}

/** Returns SQL that converts a timestamptz to milliseconds since the epoch. */
export function toEpoch(expression: string): Prisma.Sql {
  return Prisma.raw(toEpochSql(expression))
}

/**
 * Does the same as {@link toEpoch}, for statements that do not go through Prisma. The result has the type json, which
 * the driver parses to a number: a bigint would become a string, and a float8 would be rounded according to the
 * session's `extra_float_digits`.
 */
export function toEpochSql(expression: string): string {
  return `to_json(floor(extract(epoch FROM ${expression}) * 1000)::bigint)`
}

/**
 * Returns SQL that converts an instant to a timestamptz.
 *
 * @throws `RangeError` when the number is not a safe integer. PostgreSQL would accept infinity.
 */
export function timestamp(at: Instant | null): Prisma.Sql {
  if (at !== null && !Number.isSafeInteger(at)) throw new RangeError(`not an instant: ${at}`)
  return Prisma.sql`to_timestamp(${at}::float8 / 1000)`
}

/**
 * Returns SQL that converts an expression in milliseconds since the epoch to a timestamptz.
 *
 * @param offsetMs Added to the instant, in milliseconds. Default: 0.
 */
export function timestampOf(epochMs: Prisma.Sql, offsetMs = 0): Prisma.Sql {
  const sum = offsetMs === 0 ? epochMs : Prisma.sql`((${epochMs})::float8 + ${offsetMs}::float8)`
  return Prisma.sql`to_timestamp((${sum})::float8 / 1000)`
}

/** Returns SQL that reads the current feed position. Positions are instants in microseconds since the epoch. */
export function currentPosition(clock: SqlClock): Prisma.Sql {
  return Prisma.sql`(${clock()} * 1000)::bigint`
}

/** Returns the lowest feed position that can be assigned at an instant. */
export function positionAt(at: Instant): bigint {
  return BigInt(Math.floor(at)) * 1000n
}
