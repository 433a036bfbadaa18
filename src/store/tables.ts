import pg from 'pg'
import { Prisma } from './generated/client.js'

/**
 * Names of the tables, and of the function `timeline`. It returns PostgreSQL's timeline: a number that changes at the
 * promotion of a replica and at a point-in-time restore.
 */
const NAMES = {
  tenant: 'tenant',
  lastLogout: 'last_logout',
  sessionLogout: 'session_logout',
  gap: 'gap',
  unattributable: 'unattributable',
  unattributableExcess: 'unattributable_excess',
  migrations: '_prisma_migrations',
  timeline: 'last_logout_timeline',
}

/** A value for each name in {@link NAMES}. */
type Named<T> = Record<keyof typeof NAMES, T>

/** Qualified names as SQL for Prisma. */
export interface Tables extends Named<Prisma.Sql> {
  /**
   * SQL condition: the tenant row is that of this process. Every statement that reads or locks the row must contain it:
   * while a database has no data, another tenant can claim it.
   */
  isOwnTenant: Prisma.Sql
}

/** Returns the qualified and quoted names of the tables in a schema. */
export function qualifyNames(schema: string): Named<string> {
  const qualify = (name: string) => `${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(name)}`
  return mapNames(NAMES, qualify)
}

/** Returns the qualified names of the tables in a schema as SQL for Prisma. */
export function tablesIn(schema: string): Tables {
  return { ...mapNames(qualifyNames(schema), Prisma.raw), isOwnTenant: Prisma.sql`true` }
}

function mapNames<T>(names: Named<string>, map: (name: string) => T): Named<T> {
  const entries = Object.entries(names).map(([key, name]) => [key, map(name)])
  return Object.fromEntries(entries) as Named<T>
}
