import { z } from 'zod'
import { fail, MIN_KEY_LENGTH, splitList } from './values.js'

/** What a caller of the API may do. */
const ROLES = ['read', 'check', 'feed', 'logout', 'metrics'] as const
/** What a caller of the API may do. */
export type Role = (typeof ROLES)[number]

/** A caller of the API. A name may stand twice, while its key is being replaced. */
export interface ApiKey {
  name: string
  key: string
  roles: Role[]
}

const DEFAULT_ROLES: Role[] = ['read', 'check', 'feed']

/** The callers of the API. */
export const apiKeys = z.string().transform((text, context) => {
  const keys = splitList(text).map(readApiKey)
  if (keys.length === 0) fail(context, 'names no key')
  for (const problem of keys.filter((key) => typeof key === 'string')) fail(context, problem)
  const callers = keys.filter((key) => typeof key !== 'string')
  // The roles of one of them would be somebody else's.
  if (new Set(callers.map(({ key }) => key)).size < callers.length) {
    fail(context, 'has a key that stands twice: every entry needs a key of its own')
  }
  return callers
})

/**
 * The key within an `Authorization` header; `null`: there is none. RFC 6750 §2.1; and Basic with the
 * key as password, which is what a browser can send to `/docs`.
 */
export function readKey(authorization = ''): string | null {
  const [, scheme, value] = /^(bearer|basic) +(\S+)$/i.exec(authorization) ?? []
  if (scheme === undefined || value === undefined) return null
  if (scheme.toLowerCase() === 'bearer') return value
  const credentials = Buffer.from(value, 'base64').toString('utf8')
  return credentials.slice(credentials.indexOf(':') + 1)
}

function readApiKey(text: string, index: number): ApiKey | string {
  const [name = '', key = '', roles, ...rest] = text.split(':')
  const entry = `entry ${index + 1}`
  if (name === '' || rest.length > 0) return `${entry} must read name:key or name:key:role+role`
  if (key.length < MIN_KEY_LENGTH)
    return `${entry} has a key of less than ${MIN_KEY_LENGTH} characters`
  if (!/^[\x21-\x7e]+$/.test(key)) {
    return `${entry} has a key that no header carries: use ASCII without spaces, as openssl rand -hex 24 gives`
  }
  const listed = roles === undefined ? DEFAULT_ROLES : roles.split('+')
  const unknown = listed.filter((role) => !(ROLES as readonly string[]).includes(role))
  if (unknown.length > 0) return `${entry} has an unknown role: it may be ${ROLES.join(', ')}`
  return { name, key, roles: listed as Role[] }
}
