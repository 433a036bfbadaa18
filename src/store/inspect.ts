import { withClient } from '../pg/client.js'
import type { Instant } from '../rules/instant.js'
import { toEpochSql } from './epoch.js'

/** A server as it answers. */
export interface ServerState {
  version: string
  /** How long it took to answer, without the connecting. */
  latencyMs: number
  /** Takes no writes, as a replica does. */
  readOnly: boolean
  /** How far its clock is ahead of that of this machine, in milliseconds; negative: behind. */
  clockAheadMs: number
}

/** What the database holds of its tenant. */
export interface TenantState {
  domain: string
  /** `null` before the first poll. */
  checkpoint: string | null
  asOf: Instant | null
  lastPollAt: Instant | null
  /** How far back the cold start still has to sweep; `null`: it is done. */
  sweepFrom: Instant | null
  /** How many spans are known not to have been read. */
  gaps: number
  /** Where the latest of them ends; `null`: there is none. */
  gapTo: Instant | null
  floorAt: Instant | null
  /** By the clock of the database. */
  now: Instant
}

/** Asks a server what it is. Throws `DATABASE_UNAVAILABLE`. */
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

/** What the service does to its tables beside reading them. */
const WRITTEN = `(VALUES ('tenant', 'INSERT'), ('tenant', 'UPDATE'),
  ('last_logout', 'INSERT'), ('last_logout', 'UPDATE'),
  ('session_logout', 'INSERT'), ('session_logout', 'UPDATE'), ('session_logout', 'DELETE'),
  ('gap', 'INSERT'), ('gap', 'UPDATE'),
  ('unattributable', 'INSERT'), ('unattributable', 'DELETE'),
  ('unattributable_excess', 'INSERT'), ('unattributable_excess', 'UPDATE'),
  ('unattributable_excess', 'DELETE')) AS written (name, privilege)`

/** The names of the migrated tables that the database user may not write. */
export function findUnwritable(url: string): Promise<string[]> {
  return withClient(url, async (client) => {
    const { rows } = await client.query<{ name: string }>(
      `SELECT DISTINCT name FROM ${WRITTEN} WHERE NOT has_table_privilege(name, privilege) ORDER BY name`,
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
  floor_at: Instant | null
  now: Instant
}

/** Reads what the migrated database holds of its tenant; `null`: no program has used it yet. */
export function inspectTenant(url: string): Promise<TenantState | null> {
  return withClient(url, async (client) => {
    const { rows } = await client.query<TenantRow>(
      `SELECT domain, checkpoint, ${toEpochSql('as_of')} AS as_of,
         ${toEpochSql('last_poll_at')} AS last_poll_at, ${toEpochSql('sweep_from')} AS sweep_from,
         ${toEpochSql('floor_at')} AS floor_at, ${toEpochSql('clock_timestamp()')} AS now,
         (SELECT count(*) FROM gap)::integer AS gaps,
         (SELECT ${toEpochSql('max(to_at)')} FROM gap) AS gap_to
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
      floorAt: row.floor_at,
      now: row.now,
    }
  })
}
