import pg from 'pg'
import { LastLogoutError } from '../errors.js'
import { withClient } from '../pg/client.js'
import { schemaOf } from '../pg/connection.js'
import { qualifyNames } from './tables.js'

/** SQL of the privileges that the service needs on its tables, and on the sequence of the ids of `gap`. */
const REQUIRED = `(VALUES
  ('tenant', '{SELECT,INSERT,UPDATE}'), ('last_logout', '{SELECT,INSERT,UPDATE,DELETE}'),
  ('session_logout', '{SELECT,INSERT,UPDATE,DELETE}'), ('gap', '{SELECT,INSERT,UPDATE}'),
  ('gap_id_seq', '{USAGE}'), ('unattributable', '{SELECT,INSERT,DELETE}'),
  ('unattributable_excess', '{SELECT,INSERT,UPDATE,DELETE}'), ('_prisma_migrations', '{SELECT}')
) AS required (name, privileges)`

/** SQL that reads the privileges that the database user lacks in the schema $1. */
const READ_MISSING = `
  SELECT name, relkind = 'S' AS is_sequence, string_agg(privilege, ', ' ORDER BY position) AS missing
  FROM ${REQUIRED} JOIN pg_class ON relname = name
    JOIN pg_namespace ON pg_namespace.oid = relnamespace AND nspname = $1,
    unnest(privileges::text[]) WITH ORDINALITY AS each (privilege, position)
  WHERE NOT CASE WHEN relkind = 'S' THEN has_sequence_privilege(pg_class.oid, privilege)
    ELSE has_table_privilege(pg_class.oid, privilege) END
  GROUP BY name, relkind ORDER BY name`

/** Privileges that the database user lacks. */
export interface MissingPrivileges {
  /** The privileges and their objects, such as `INSERT on tenant`. */
  description: string
  /** SQL that grants the privileges. The owner of the tables can run it. */
  grant: string
}

/**
 * Returns the privileges that the database user lacks on the migrated tables. Returns `null` if no privilege is
 * missing.
 *
 * @throws `DATABASE_UNAVAILABLE` if the connection fails or breaks.
 */
export function findMissingPrivileges(url: string): Promise<MissingPrivileges | null> {
  return withClient(url, (client) => readMissing(client, schemaOf(url)))
}

/**
 * Checks that the database user may use the tables of a schema.
 *
 * @throws `CONFIGURATION` with the SQL that grants the missing privileges.
 */
export async function assertPrivileges(client: pg.Client, schema: string): Promise<void> {
  const missing = await readMissing(client, schema)
  if (missing === null) return
  throw new LastLogoutError(
    'CONFIGURATION',
    `the database user lacks ${missing.description}: let the owner of the tables run: ${missing.grant}`,
  )
}

async function readMissing(client: pg.Client, schema: string): Promise<MissingPrivileges | null> {
  const { rows } = await client.query<{
    role: string
    canUseSchema: boolean
    canReadTimeline: boolean
  }>(
    `SELECT current_user AS role, has_schema_privilege(oid, 'USAGE') AS "canUseSchema", NOT EXISTS (
       SELECT FROM pg_proc WHERE pronamespace = pg_namespace.oid AND proname = 'last_logout_timeline'
         AND NOT has_function_privilege(pg_proc.oid, 'EXECUTE')) AS "canReadTimeline"
     FROM pg_namespace WHERE nspname = $1`,
    [schema],
  )
  const [user] = rows
  if (user === undefined) return null
  const tables = await client.query<{ name: string; is_sequence: boolean; missing: string }>(
    READ_MISSING,
    [schema],
  )
  const qualified = pg.escapeIdentifier(schema)
  const missing = [
    ...(user.canUseSchema ? [] : [{ privileges: 'USAGE', on: `SCHEMA ${qualified}` }]),
    ...tables.rows.map((row) => ({
      privileges: row.missing,
      on: `${row.is_sequence ? 'SEQUENCE ' : ''}${qualified}.${row.name}`,
    })),
    ...(user.canReadTimeline
      ? []
      : [{ privileges: 'EXECUTE', on: `FUNCTION ${qualifyNames(schema).timeline}()` }]),
  ]
  if (missing.length === 0) return null
  const role = pg.escapeIdentifier(user.role)
  return {
    description: missing.map(({ privileges, on }) => `${privileges} on ${on}`).join(', '),
    grant: missing
      .map(({ privileges, on }) => `GRANT ${privileges} ON ${on} TO ${role};`)
      .join(' '),
  }
}

interface SchemaState {
  role: string
  database: string
  /** Whether the database user may create tables in the schema. `null` if the schema does not exist. */
  canCreate: boolean | null
  /** Owner of the tables. `null` if the database user has the rights of the owner, or if there are no tables. */
  owner: string | null
}

/**
 * Creates the error for a migration that the database user may not run.
 *
 * @param client A connection without an open transaction.
 */
export async function migrationForbiddenError(
  client: pg.Client,
  schema: string,
  cause: unknown,
): Promise<LastLogoutError> {
  const { rows } = await client.query<SchemaState>(
    `SELECT current_user AS role, current_database() AS database,
       (SELECT has_schema_privilege(oid, 'CREATE') FROM pg_namespace WHERE nspname = $1) AS "canCreate",
       (SELECT min(pg_get_userbyid(relowner)) FROM pg_class
          JOIN pg_namespace ON pg_namespace.oid = relnamespace
        WHERE nspname = $1 AND relname IN ('tenant', '_prisma_migrations')
          AND NOT pg_has_role(relowner, 'USAGE')) AS owner`,
    [schema],
  )
  const [state] = rows
  const { message } = Object(cause)
  const remedy = state === undefined ? String(message) : describeRemedy(state, schema)
  return new LastLogoutError('CONFIGURATION', `the migrations cannot be applied: ${remedy}`, {
    cause,
  })
}

function describeRemedy({ role, database, canCreate, owner }: SchemaState, schema: string): string {
  const [user, place] = [pg.escapeIdentifier(role), pg.escapeIdentifier(schema)]
  if (canCreate === null) {
    const on = pg.escapeIdentifier(database)
    return `the schema ${schema} does not exist, and the database user ${role} lacks CREATE on the database; as a superuser or the owner of the database, run: GRANT CREATE ON DATABASE ${on} TO ${user}; or run \`last-logout migrate\` with DATABASE_URL of a user that may create schemas`
  }
  if (owner !== null) {
    return `the tables belong to ${owner}, not to the database user ${role}; run \`last-logout migrate\` with DATABASE_URL of ${owner}`
  }
  return `the database user ${role} lacks CREATE on the schema ${schema}; as its owner or a superuser, run: GRANT USAGE, CREATE ON SCHEMA ${place} TO ${user}; or name another schema by ?schema= in DATABASE_URL`
}
