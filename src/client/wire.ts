import type { Policy } from '../rules/judge.js'

/** A change as `GET /v1/changes` tells it; instants are RFC 3339. */
export type ChangeJson =
  | { kind: 'user'; user_id: string; at: string; all_sessions_at: string | null }
  | { kind: 'session'; session_id: string; at: string; ended: boolean }
  | { kind: 'floor'; at: string }

/** How old an answer is. */
export interface FreshnessJson {
  as_of: string | null
  lag_ms: number | null
  policy: Policy
}

/** The response of `GET /v1/last-logout`, as far as it is used. */
export interface LastLogoutJson extends FreshnessJson {
  user_id: string
  last_logout_at: string | null
  all_sessions_at: string | null
  session: { session_id: string; logout_at: string | null; ended: boolean } | null
  floor_at: string | null
}
