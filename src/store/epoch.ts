import type { Instant } from '../rules/instant.js'
import { Prisma } from './generated/client.js'

/*
 * This file contains all conversions between instants and SQL. Instants are sent and received as milliseconds since the
 * epoch. The text of a timestamptz depends on the time zone and the DateStyle of the session, and Prisma's driver
 * adapter drops the offset (https://github.com/prisma/orm/issues/26786).
 */

/** Returns SQL of the current time: a numeric, in milliseconds since the epoch. */
export type SqlClock = () => Prisma.Sql

/** The clock of the database. Unlike `now()`, it advances within a transaction. */
export const databaseClock: SqlClock = () =>
  Prisma.sql`(extract(epoch FROM clock_timestamp()) * 1000)`

/** Creates a clock for tests. `now` must return whole milliseconds. */
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
 * Does the same as {@link toEpoch}, but returns text, for statements outside of Prisma. The result of the SQL is json,
 * which the driver parses to a number. The driver would return a bigint as a string, and the setting
 * `extra_float_digits` can round a float8.
 */
export function toEpochSql(expression: string): string {
  return `to_json(${toBigintSql(expression)})`
}

/** Returns SQL that converts a timestamptz to milliseconds since the epoch, as an element of a JSON array. */
export function toEpochElement(expression: string): Prisma.Sql {
  return Prisma.raw(toBigintSql(expression))
}

function toBigintSql(expression: string): string {
  return `floor(extract(epoch FROM ${expression}) * 1000)::bigint`
}

/**
 * Returns SQL that converts an instant to a timestamptz.
 *
 * @throws `RangeError` if the number is not a safe integer. PostgreSQL would accept infinity.
 */
export function timestamp(at: Instant | null): Prisma.Sql {
  if (at !== null && !Number.isSafeInteger(at)) throw new RangeError(`not an instant: ${at}`)
  return Prisma.sql`to_timestamp(${at}::float8 / 1000)`
}

/**
 * Returns SQL that converts an expression in milliseconds since the epoch to a timestamptz.
 *
 * @param offsetMs Milliseconds that are added. Default: 0.
 */
export function timestampOf(epochMs: Prisma.Sql, offsetMs = 0): Prisma.Sql {
  const sum = offsetMs === 0 ? epochMs : Prisma.sql`((${epochMs})::float8 + ${offsetMs}::float8)`
  return Prisma.sql`to_timestamp((${sum})::float8 / 1000)`
}

/** Returns SQL of the current time as a feed position: microseconds since the epoch. */
export function currentPosition(clock: SqlClock): Prisma.Sql {
  return Prisma.sql`(${clock()} * 1000)::bigint`
}

/** Returns the lowest feed position that can be assigned at an instant. */
export function positionAt(at: Instant): bigint {
  return BigInt(Math.floor(at)) * 1000n
}
