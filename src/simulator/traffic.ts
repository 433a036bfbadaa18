import { buildEntry } from './entries.js'
import { buildPeople, sessionFor } from './people.js'
import { pick, seededRandom } from './random.js'
import type { Tenant } from './tenant.js'

/** How lively the tenant is. */
export interface TrafficOptions {
  /** How many users it has, default 20. */
  users?: number
  /** The same seed lets the same people do the same, default 1. */
  seed?: number
}

/** What one user just did. */
interface Happening {
  readonly action: 'login' | 'refresh' | 'silent login' | 'logout'
  readonly userId: string
  readonly sessionId: string
}

/** People who log in and out of a tenant. */
export interface Traffic {
  /** Lets one user do one thing now. */
  tick(): Happening
  /** Ticks until closed; a second start replaces the first. */
  start(intervalMs: number): void
  close(): void
}

type Action = Happening['action']

/** A login logs the redeemed code too. The first type decides on the session. */
const TYPES: Readonly<Record<Action, readonly [string, ...string[]]>> = {
  login: ['s', 'seacft'],
  refresh: ['sertft'],
  'silent login': ['ssa'],
  logout: ['slo'],
}

/** More logouts than second logins, so that sessions do not pile up. */
const ACTIONS: readonly Action[] = [
  'login',
  'refresh',
  'refresh',
  'silent login',
  'logout',
  'logout',
]

/** Makes people log in, refresh tokens and log out, by {@link Traffic.tick} or at an interval. */
export function createTraffic(tenant: Tenant, options: TrafficOptions = {}): Traffic {
  const { users = 20, seed = 1 } = options
  const random = seededRandom(seed)
  const people = buildPeople(users, tenant.domain)
  let timer: NodeJS.Timeout | undefined

  function tick(): Happening {
    const person = pick(random, people)
    const action = person.sessions.length === 0 ? 'login' : pick(random, ACTIONS)
    const types = TYPES[action]
    const sessionId = sessionFor(types[0], person, random)
    for (const type of types) tenant.write(buildEntry(type, { ...person.subject, sessionId }))
    return { action, userId: person.subject.userId, sessionId }
  }

  const close = () => clearInterval(timer)

  function start(intervalMs: number): void {
    close()
    timer = setInterval(tick, intervalMs)
  }

  return { tick, start, close }
}
