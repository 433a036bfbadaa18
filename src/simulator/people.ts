import type { EntrySubject } from './entries.js'
import type { Random } from './random.js'

/** A simulated user. */
export interface Person {
  readonly subject: EntrySubject & { userId: string }
  /** The ids of the open sessions. */
  sessions: string[]
}

const AGENTS = [
  'Firefox 131.0.0 / Ubuntu 0.0.0',
  'Chrome 129.0.0 / Windows 10.0.0',
  'Mobile Safari 17.6.0 / iOS 17.6.0',
]
const BASE64URL = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'

/** Builds users without sessions. Every fifth user has a social connection. */
export function buildPeople(count: number, domain: string): Person[] {
  return Array.from({ length: count }, (_, i) => {
    const number = String(i + 1).padStart(20, '0')
    const user =
      i % 5 === 4
        ? { userId: `google-oauth2|1${number}`, connection: 'google-oauth2' }
        : { userId: `auth0|6500${number}` }
    const userName = `user${i + 1}@example.com`
    const ip = `203.0.113.${(i % 254) + 1}`
    const userAgent = AGENTS[i % AGENTS.length] ?? ''
    return { subject: { domain, userName, ip, userAgent, ...user }, sessions: [] }
  })
}

/**
 * Returns the session id for an entry of this type, and updates the open sessions. A login opens a session, and a
 * logout ends a session. If the user has no open session, returns a new session id, as if the session had begun before
 * the log.
 */
export function sessionFor(type: string, person: Person, random: Random): string {
  if (type === 's' || person.sessions.length === 0) person.sessions.unshift(createSessionId(random))
  const index = type === 's' ? 0 : Math.floor(random() * person.sessions.length)
  const session = person.sessions[index] ?? ''
  if (type === 'slo') person.sessions.splice(index, 1)
  if (type === 'universal_logout_succeeded') person.sessions = []
  return session
}

/** Creates a session id like Auth0's: 32 characters of base64url. */
function createSessionId(random: Random): string {
  let id = ''
  while (id.length < 32) id += BASE64URL[Math.floor(random() * 64)]
  return id
}
