import { withClient } from '../pg/client.js'
import type { Instant } from '../rules/instant.js'
import type { GapReason } from '../rules/span.js'
import { toEpochSql } from './epoch.js'

/** State of a PostgreSQL server. */
export interface ServerState {
  version: string
  /** Duration of a query, without connecting, in milliseconds. */
  latencyMs: number
  /** Whether the server rejects writes, as a replica does. */
  readOnly: boolean
  /** How far its clock is ahead of the clock of this machine, in milliseconds; negative: behind. */
  clockAheadMs: number
}

/** State of the tenant, as its database holds it. */
export interface TenantState {
  domain: string
  /** `null` before the first poll. */
  checkpoint: string | null
  asOf: Instant | null
  lastPollAt: Instant | null
  /** Where the rest of the cold start's sweep begins; `null`: the sweep is complete. */
  sweepFrom: Instant | null
  /** Number of gaps. */
  gaps: number
  /** End of the latest gap; `null`: there is none. */
  gapTo: Instant | null
  /** Why the latest gap was not read; `null`: there is none. */
  gapReason: GapReason | null
  floorAt: Instant | null
  /** By the clock of the database. */
  now: Instant
}

/**
 * Reads the state of a server.
 *
 * @throws `DATABASE_UNAVAILABLE` when the connection fails or breaks.
 */
export function inspectServer(url: string): Promise<ServerState> {
  return withClient(url, async (client) => {
    const startedAt = performance.now()
    const sentAt = Date.now()
    const { rows } = await client.query<{ version: string; read_only: boolean; now: Instant }>(
      `SELECT current_setting('server_version') AS version, ${toEpochSql('clock_timestamp()')} AS now,
         pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on' AS read_only`,
    )
    const latencyMs = performance.now() - startedAt
    const [row] = rows
    return {
      version: row?.version ?? '',
      latencyMs,
      readOnly: row?.read_only === true,
      clockAheadMs: Math.round((row?.now ?? sentAt) - (sentAt + latencyMs / 2)),
    }
  })
}

/** Privileges that the service needs on its tables, besides SELECT. */
const REQUIRED_PRIVILEGES = `(VALUES ('tenant', 'INSERT'), ('tenant', 'UPDATE'),
  ('last_logout', 'INSERT'), ('last_logout', 'UPDATE'),
  ('session_logout', 'INSERT'), ('session_logout', 'UPDATE'), ('session_logout', 'DELETE'),
  ('gap', 'INSERT'), ('gap', 'UPDATE'),
  ('unattributable', 'INSERT'), ('unattributable', 'DELETE'),
  ('unattributable_excess', 'INSERT'), ('unattributable_excess', 'UPDATE'),
  ('unattributable_excess', 'DELETE')) AS required (name, privilege)`

/**
 * Returns the names of the migrated tables that the database user lacks privileges to write, in alphabetical order.
 *
 * @throws `DATABASE_UNAVAILABLE` when the connection fails or breaks.
 */
export function findUnwritable(url: string): Promise<string[]> {
  return withClient(url, async (client) => {
    const { rows } = await client.query<{ name: string }>(
      `SELECT DISTINCT name FROM ${REQUIRED_PRIVILEGES} WHERE NOT has_table_privilege(name, privilege) ORDER BY name`,
    )
    return rows.map(({ name }) => name)
  })
}

interface TenantRow {
  domain: string
  checkpoint: string | null
  as_of: Instant | null
  last_poll_at: Instant | null
  sweep_from: Instant | null
  gaps: number
  gap_to: Instant | null
  gap_reason: GapReason | null
  floor_at: Instant | null
  now: Instant
}

/**
 * Reads the state of the tenant from a migrated database.
 *
 * @returns `null` where no program has claimed the database yet.
 * @throws `DATABASE_UNAVAILABLE` when the connection fails or breaks.
 */
export function inspectTenant(url: string): Promise<TenantState | null> {
  return withClient(url, async (client) => {
    const { rows } = await client.query<TenantRow>(
      `SELECT domain, checkpoint, ${toEpochSql('as_of')} AS as_of,
         ${toEpochSql('last_poll_at')} AS last_poll_at, ${toEpochSql('sweep_from')} AS sweep_from,
         ${toEpochSql('floor_at')} AS floor_at, ${toEpochSql('clock_timestamp()')} AS now,
         (SELECT count(*) FROM gap)::integer AS gaps,
         (SELECT ${toEpochSql('max(to_at)')} FROM gap) AS gap_to,
         (SELECT reason FROM gap ORDER BY to_at DESC LIMIT 1) AS gap_reason
       FROM tenant`,
    )
    const [row] = rows
    if (row === undefined) return null
    return {
      domain: row.domain,
      checkpoint: row.checkpoint,
      asOf: row.as_of,
      lastPollAt: row.last_poll_at,
      sweepFrom: row.sweep_from,
      gaps: row.gaps,
      gapTo: row.gap_to,
      gapReason: row.gap_reason,
      floorAt: row.floor_at,
      now: row.now,
    }
  })
}
