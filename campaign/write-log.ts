import type { TestDatabase } from '../test/_support/database.js'

type Queryable = Pick<TestDatabase, 'query'>

const TABLES = ['last_logout', 'session_logout', 'tenant']

/**
 * Makes PostgreSQL record all committed writes to `TABLES` in a new table `write_log`. Its column `writer` contains the
 * `application_name` of the connection, such as `worker-1`.
 */
export async function logWrites(database: Queryable): Promise<void> {
  await database.query(`
    CREATE TABLE write_log (
      n bigserial PRIMARY KEY, writer text NOT NULL DEFAULT current_setting('application_name'),
      transaction xid8 NOT NULL DEFAULT pg_current_xact_id(),
      "table" text NOT NULL, operation text NOT NULL, before jsonb, after jsonb);
    CREATE INDEX ON write_log (writer);
    CREATE FUNCTION log_write() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      INSERT INTO write_log ("table", operation, before, after)
      VALUES (TG_TABLE_NAME, TG_OP, to_jsonb(OLD), to_jsonb(NEW));
      RETURN NULL;
    END $$`)
  for (const table of TABLES) {
    await database.query(`
      CREATE TRIGGER log_rows AFTER INSERT OR UPDATE OR DELETE ON ${table}
        FOR EACH ROW EXECUTE FUNCTION log_write();
      CREATE TRIGGER log_truncate AFTER TRUNCATE ON ${table} EXECUTE FUNCTION log_write()`)
  }
}

/**
 * Counts the writes, and the pages that workers stored: each page increases the checkpoint. Describes each wrong write:
 * a write that deleted a row, or that decreased a value that must not decrease.
 */
export async function readWrites(database: Queryable) {
  const [totals] = await database.query<{ writes: number; pages: number }>(`
    SELECT count(*)::int AS writes, count(*) FILTER (WHERE writer LIKE 'worker-%'
      AND after->>'checkpoint' COLLATE "C" > before->>'checkpoint' COLLATE "C")::int AS pages
    FROM write_log`)
  const wrongWrites = await database.query<{ description: string }>(`
    SELECT writer || ' deleted from ' || "table" || coalesce(': ' || before::text, '') AS description
    FROM write_log WHERE operation IN ('DELETE', 'TRUNCATE')
    UNION ALL
    SELECT writer || ' decreased ' || key || ' of ' || "table" || ' from ' || value || ' to '
      || coalesce(after->>key, 'nothing') || coalesce(' of ' || (after->>'user_id'), '')
    FROM write_log, jsonb_each_text(before)
    WHERE operation = 'UPDATE' AND value IS NOT NULL AND (CASE
      WHEN key IN ('at', 'all_sessions_at', 'as_of', 'floor_at', 'reconciled_to')
        THEN (after->>key)::timestamptz >= value::timestamptz
      WHEN key IN ('seq', 'floor_seq', 'reconciled') THEN (after->>key)::bigint >= value::bigint
      WHEN key = 'checkpoint' THEN after->>key COLLATE "C" >= value COLLATE "C"
      WHEN key = 'ended' THEN (after->>key)::boolean >= value::boolean
      ELSE true END) IS NOT TRUE`)
  const { writes = 0, pages = 0 } = totals ?? {}
  return { writes, pages, wrongWrites: wrongWrites.map(({ description }) => description) }
}

/**
 * Reads the log ids of the entries that no poll read, and that a reconcile stored. The transaction that stores such an
 * entry also increases `tenant.reconciled`.
 */
export async function readReconciled(database: Queryable): Promise<string[]> {
  const rows = await database.query<{ log_id: string }>(`
    SELECT DISTINCT after->>'log_id' AS log_id FROM write_log
    WHERE "table" <> 'tenant' AND after->>'log_id' IS DISTINCT FROM before->>'log_id'
      AND transaction IN (
        SELECT transaction FROM write_log
        WHERE (after->>'reconciled')::bigint > (before->>'reconciled')::bigint)`)
  return rows.map(({ log_id }) => log_id)
}

/**
 * Whether the worker with this `application_name` holds the lease: whether one of its writes set the current
 * `lease_owner`.
 */
export async function holdsLease(database: Queryable, workerName: string): Promise<boolean> {
  const rows = await database.query(
    `SELECT FROM tenant JOIN write_log ON after->>'lease_owner' = lease_owner
     WHERE writer = $1 AND lease_until > now() LIMIT 1`,
    [workerName],
  )
  return rows.length > 0
}
