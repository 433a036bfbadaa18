import { withClient } from '../pg/client.js'
import { schemaOf } from '../pg/connection.js'
import { receivesNotifications } from '../pg/notifications.js'
import type { GapReason } from '../rules/gap.js'
import type { Instant } from '../rules/instant.js'
import { findEncodingProblem } from './encoding.js'
import { toEpochSql } from './epoch.js'
import { qualifyNames } from './tables.js'

/** State of a PostgreSQL server. */
export interface ServerState {
  version: string
  /** Duration of a query on an open connection, in milliseconds. */
  latencyMs: number
  /** Whether the server refuses writes, as a replica does. */
  readOnly: boolean
  /** Problem with the encoding of the database; `null` if there is none. */
  encodingProblem: string | null
  /** Clock of the server minus clock of this machine, in milliseconds. */
  clockAheadMs: number
}

/** State of the tenant in the database. */
export interface TenantState {
  domain: string
  /** `null` until a poll has read an entry. */
  checkpoint: string | null
  asOf: Instant | null
  lastPollAt: Instant | null
  /** Beginning of the span of the log that a sweep must still search for logouts; `null` if the sweep is complete. */
  sweepFrom: Instant | null
  /** Number of gaps: spans of the log that Auth0 deleted before they were read. */
  gaps: number
  /** End of the latest gap; `null` if there is no gap. */
  gapTo: Instant | null
  /** Reason of the latest gap; `null` if there is no gap. */
  gapReason: GapReason | null
  floorAt: Instant | null
  /** When the state was read, by the clock of the database. */
  now: Instant
}

interface ServerRow {
  version: string
  read_only: boolean
  name: string
  encoding: string
  now: Instant
}

/**
 * Reads the state of the server and of the database.
 *
 * @throws `DATABASE_UNAVAILABLE` if the connection fails or breaks.
 */
export function inspectServer(url: string): Promise<ServerState> {
  return withClient(url, async (client) => {
    const startedAt = performance.now()
    const sentAt = Date.now()
    const { rows } = await client.query<ServerRow>(
      `SELECT current_setting('server_version') AS version, ${toEpochSql('clock_timestamp()')} AS now,
         current_database() AS name, current_setting('server_encoding') AS encoding,
         pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on' AS read_only`,
    )
    const latencyMs = performance.now() - startedAt
    const [row] = rows
    // The server reads its clock about half of the latency after the query was sent.
    const localNow = sentAt + latencyMs / 2
    return {
      version: row?.version ?? '',
      latencyMs,
      readOnly: row?.read_only === true,
      encodingProblem: row === undefined ? null : findEncodingProblem(row.name, row.encoding),
      clockAheadMs: Math.round((row?.now ?? sentAt) - localNow),
    }
  })
}

/**
 * Reads the used fraction of PostgreSQL's notification queue, from 0 to 1. This query also makes PostgreSQL free the
 * part of the queue that all sessions have read. Without the query, a full queue can stay full.
 *
 * @throws `DATABASE_UNAVAILABLE` if the connection fails or breaks.
 * @see https://www.postgresql.org/docs/current/sql-notify.html
 */
export function readNotificationUsage(url: string): Promise<number> {
  return withClient(url, async (client) => {
    const { rows } = await client.query<{ usage: number }>(
      'SELECT pg_notification_queue_usage() AS usage',
    )
    return rows[0]?.usage ?? 0
  })
}

/** Whether a connection to this URL receives notifications. Throws the errors of {@link receivesNotifications}. */
export function inspectNotifications(url: string): Promise<boolean> {
  return withClient(url, (client) => receivesNotifications(client, url))
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
 * @returns `null` if the database has not been claimed for a tenant.
 * @throws `DATABASE_UNAVAILABLE` if the connection fails or breaks.
 */
export function inspectTenant(url: string): Promise<TenantState | null> {
  const { gap, tenant } = qualifyNames(schemaOf(url))
  return withClient(url, async (client) => {
    const { rows } = await client.query<TenantRow>(
      `SELECT domain, checkpoint, ${toEpochSql('as_of')} AS as_of,
         ${toEpochSql('last_poll_at')} AS last_poll_at, ${toEpochSql('sweep_from')} AS sweep_from,
         ${toEpochSql('floor_at')} AS floor_at, ${toEpochSql('clock_timestamp()')} AS now,
         (SELECT count(*) FROM ${gap})::integer AS gaps,
         (SELECT ${toEpochSql('max(to_at)')} FROM ${gap}) AS gap_to,
         (SELECT reason FROM ${gap} ORDER BY to_at DESC LIMIT 1) AS gap_reason
       FROM ${tenant}`,
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
