import { later } from '../rules/instant.js'
import type { KnownLogouts } from '../rules/judge.js'

/** Merges what two sources know of the same user and session. The later instant wins, and a session stays ended. */
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
