import { isDeepStrictEqual } from 'node:util'
import type { Tenant } from '../src/simulator/tenant.js'
import type { finishCommand } from '../test/_support/cli.js'
import type { TestDatabase } from '../test/_support/database.js'
import { expectedFromLog, sortRows } from '../test/_support/expected-rows.js'
import { readRows } from '../test/_support/store.js'
import type { KillReport } from './kill-workers.js'
import { readReconciled, readWrites } from './write-log.js'
import type { Written } from './writer.js'

type Queryable = Pick<TestDatabase, 'query'>

/**
 * Counts of rows and writes at the end of a round, and all problems, such as a row that differs from the expected row.
 */
export interface RoundOutcome {
  users: number
  sessions: number
  unattributable: number
  /** Number of entries that no poll read, and that a reconcile found. */
  reconciled: number
  /** Number of writes to the tables, including the writes of `sync`. */
  writes: number
  /** Number of pages that workers stored before the final `sync`. */
  pages: number
  problems: string[]
}

/** The results of the parts of a round: the kills, the written entries, and the final `sync`. */
interface RoundEvents {
  workerReport: KillReport
  written: Written
  sync: Awaited<ReturnType<typeof finishCommand>>
}

/**
 * Compares the rows of the database with the rows that the log requires. Also checks that no write deleted a row or
 * decreased a value.
 */
export async function findProblems(
  database: Queryable,
  tenant: Tenant,
  { workerReport, written, sync }: RoundEvents,
): Promise<RoundOutcome> {
  const expected = expectedFromLog(tenant.entries())
  const rows = sortRows(await readRows(database))
  const { writes, pages, wrongWrites } = await readWrites(database)
  const unattributableRows = await database.query<{ id: string }>('SELECT id FROM unattributable')
  // An unattributable entry may be a logout, but names no user and no session, or is malformed.
  const unattributable = unattributableRows.map(({ id }) => id).sort()
  const reconciled = await readReconciled(database)
  // `as_of`: the worker has read the log up to this instant.
  const state = await readState(database)
  const isFresh = (state.as_of?.getTime() ?? 0) >= written.storedAtMs
  return {
    users: rows.users.length,
    sessions: rows.sessions.length,
    unattributable: unattributable.length,
    reconciled: reconciled.length,
    writes,
    pages,
    problems: [
      ...workerReport.problems,
      ...(sync.code === 0 ? [] : [`sync ended with ${sync.code}: ${sync.stdout}${sync.stderr}`]),
      ...compare(rows.users, expected.rows.users, ({ userId }) => `user ${userId}`),
      ...compare(rows.sessions, expected.rows.sessions, ({ sessionId }) => `session ${sessionId}`),
      ...compare(
        unattributable.map(asRow),
        expected.unattributable.map(asRow),
        ({ id }) => `unattributable ${id}`,
      ),
      ...(state.excess === 0
        ? []
        : [`${state.excess} unattributable entries were counted but not kept`]),
      ...wrongWrites,
      ...reconciled
        .filter((logId) => !written.lateLogIds.has(logId))
        .map((logId) => `polling missed ${logId}, although the entry was not late`),
      ...(state.gaps === 0
        ? []
        : [`${state.gaps} gaps were recorded, although no entry was deleted`]),
      ...(pages > 0 ? [] : ['no worker stored a page: the round is not conclusive']),
      ...(isFresh ? [] : [`as_of is ${state.as_of?.toISOString()}, before the last entry`]),
    ],
  }
}

/** Lets {@link compare} compare ids. */
const asRow = (id: string) => ({ id })

async function readState(database: Queryable) {
  const [state] = await database.query<{
    as_of: Date | null
    excess: number
    gaps: number
  }>(`
    SELECT as_of,
      (SELECT coalesce(sum(count), 0)::int FROM unattributable_excess) AS excess,
      (SELECT count(*)::int FROM gap WHERE reason <> 'cold_start') AS gaps
    FROM tenant`)
  if (state === undefined) throw new Error('the tenant row is missing')
  return state
}

/** Describes every row that is missing, unexpected or different. `name` returns a unique name for a row. */
function compare<Row extends object>(actual: Row[], expected: Row[], name: (row: Row) => string) {
  const actualByName = new Map(actual.map((row) => [name(row), row]))
  const expectedNames = new Set(expected.map(name))
  const differences = expected.flatMap((row) => {
    const actualRow = actualByName.get(name(row))
    if (isDeepStrictEqual(actualRow, row)) return []
    return `${name(row)} is ${JSON.stringify(actualRow) ?? 'missing'}, not ${JSON.stringify(row)}`
  })
  const unexpectedNames = [...actualByName.keys()].filter(
    (actualName) => !expectedNames.has(actualName),
  )
  return [...differences, ...unexpectedNames.map((actualName) => `${actualName} is unexpected`)]
}
