import { buildEntry } from './entries.js'
import { buildPeople, sessionFor } from './people.js'
import { pick, seededRandom } from './random.js'
import type { Tenant } from './tenant.js'

/** Options of {@link createTraffic}. */
export interface TrafficOptions {
  /** The number of users. Default: 20. */
  users?: number
  /** The seed of the random numbers. The same seed gives the same events. Default: 1. */
  seed?: number
}

/** One action of one user. */
interface TrafficEvent {
  readonly action: 'login' | 'refresh' | 'silent login' | 'logout'
  readonly userId: string
  readonly sessionId: string
}

/** Creates events of simulated users who log in and out. */
export interface Traffic {
  /** Makes one user perform one action now. */
  tick(): TrafficEvent
  /** Calls `tick` at this interval until `close`. A second call of `start` replaces the interval. */
  start(intervalMs: number): void
  close(): void
}

type Action = TrafficEvent['action']

/** The entry types of each action. The first type determines the session: see {@link sessionFor}. */
const TYPES: Readonly<Record<Action, readonly [string, ...string[]]>> = {
  login: ['s', 'seacft'],
  refresh: ['sertft'],
  'silent login': ['ssa'],
  logout: ['slo'],
}

/** The actions of a user with a session. Logouts are more frequent than logins, so that sessions do not accumulate. */
const ACTIONS: readonly Action[] = [
  'login',
  'refresh',
  'refresh',
  'silent login',
  'logout',
  'logout',
]

/** Creates users who log in, refresh tokens and log out. */
export function createTraffic(tenant: Tenant, options: TrafficOptions = {}): Traffic {
  const { users = 20, seed = 1 } = options
  const random = seededRandom(seed)
  const people = buildPeople(users, tenant.domain)
  let timer: NodeJS.Timeout | undefined

  function tick(): TrafficEvent {
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
