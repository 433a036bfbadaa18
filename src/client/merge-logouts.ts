import { later } from '../rules/instant.js'
import type { KnownLogouts } from '../rules/judge.js'

/** Merges the logouts of one user and session from two sources. Keeps the later instants, and ended sessions. */
export function mergeLogouts(a: KnownLogouts, b: KnownLogouts): KnownLogouts {
  const userAt = later(a.user?.at ?? null, b.user?.at ?? null)
  const allSessionsAt = later(a.user?.allSessionsAt ?? null, b.user?.allSessionsAt ?? null)
  const sessionAt = later(a.session?.at ?? null, b.session?.at ?? null)
  const ended = a.session?.ended === true || b.session?.ended === true
  return {
    user: userAt === null ? null : { at: userAt, allSessionsAt },
    session: sessionAt === null ? null : { at: sessionAt, ended },
    floorAt: later(a.floorAt, b.floorAt),
  }
}
