import { type Instant, readDateTime } from './instant.js'
import type { KnownLogouts, Policy } from './judge.js'

/** The freshness and the policy that the service sends with its data. */
export interface StatedFreshness {
  /** The service has read all log entries that Auth0 stored before this instant; `null`: not yet known. */
  asOf: Instant | null
  policy: Policy
  /** The age of the data in milliseconds; `Infinity`: the service does not know the age. */
  lagMs: number
}

/** A valid response of `GET /v1/last-logout`. */
export interface LastLogoutResponse {
  knownLogouts: KnownLogouts
  freshness: StatedFreshness
}

/** A rejected response. The named field is missing or malformed. */
export interface InvalidField {
  invalidField: string
}

/** Reads the freshness of a response, or of an event of the change feed. Accepts any value and never throws. */
export function readFreshness(json: unknown): StatedFreshness | InvalidField {
  const { as_of, lag_ms, policy } = Object(json)
  if (policy !== 'session' && policy !== 'user') return { invalidField: 'policy' }
  if (!isDateTimeOrNull(as_of)) return { invalidField: 'as_of' }
  const asOf = readDateTime(as_of)
  const hasLag = asOf !== null && typeof lag_ms === 'number' && lag_ms >= 0
  return { asOf, policy, lagMs: hasLag ? lag_ms : Number.POSITIVE_INFINITY }
}

/**
 * Reads a response of `GET /v1/last-logout`. A single malformed field makes the whole response invalid, because this
 * field may contain a logout. Accepts any value and never throws.
 */
export function readLastLogoutResponse(json: unknown): LastLogoutResponse | InvalidField {
  const freshness = readFreshness(json)
  if ('invalidField' in freshness) return freshness
  const { last_logout_at, all_sessions_at, floor_at, session } = Object(json)
  const logout_at = session === null ? null : Object(session).logout_at
  const instants = { last_logout_at, all_sessions_at, floor_at, logout_at }
  for (const [invalidField, value] of Object.entries(instants)) {
    if (!isDateTimeOrNull(value)) return { invalidField }
  }
  const userAt = readDateTime(last_logout_at)
  const sessionAt = readDateTime(logout_at)
  const knownLogouts = {
    user: userAt === null ? null : { at: userAt, allSessionsAt: readDateTime(all_sessions_at) },
    session: sessionAt === null ? null : { at: sessionAt, ended: Object(session).ended === true },
    floorAt: readDateTime(floor_at),
  }
  return { knownLogouts, freshness }
}

function isDateTimeOrNull(value: unknown): boolean {
  return value === null || readDateTime(value) !== null
}
