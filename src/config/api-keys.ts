import { z } from 'zod'
import { canBeSent } from '../rules/api-key.js'
import { addProblem, MIN_KEY_LENGTH, splitList } from './values.js'

const ROLES = ['read', 'check', 'feed', 'logout', 'metrics', 'introspect', 'forward-auth'] as const
/** A permission of an API key. */
export type Role = (typeof ROLES)[number]

/** A key of the API. During a key rotation, two keys have the same name. */
export interface ApiKey {
  name: string
  key: string
  roles: Role[]
  /** The audience of the access tokens that this caller may check. It is set in `TOKEN_AUDIENCES`. */
  audience?: string
}

const DEFAULT_ROLES: Role[] = ['read', 'check', 'feed']

/** The roles of gateways, which send the access tokens of users. */
const GATEWAY_ROLES: Role[] = ['introspect', 'forward-auth']

/** Whether the key belongs to a gateway, and so needs an audience. */
export function isGatewayKey({ roles }: Pick<ApiKey, 'roles'>): boolean {
  return GATEWAY_ROLES.some((role) => roles.includes(role))
}

/** Schema of `API_KEYS`: a list of `name:key` or `name:key:role+role`. */
export const apiKeys = z.string().transform((text, context) => {
  const keys = splitList(text).map(readApiKey)
  if (keys.length === 0) addProblem(context, 'holds no key: add one as name:key')
  for (const problem of keys.filter((key) => typeof key === 'string')) addProblem(context, problem)
  const apiKeys = keys.filter((key) => typeof key !== 'string')
  // If two entries had the same key, each caller would have the roles of both entries.
  if (new Set(apiKeys.map(({ key }) => key)).size < apiKeys.length) {
    addProblem(context, 'has two entries with the same key: give every entry its own')
  }
  return apiKeys
})

/**
 * Reads the key from an `Authorization` header. The key is a bearer token (RFC 6750 §2.1), or the password of Basic
 * authentication (RFC 7617), which a browser can send to `/docs`.
 *
 * @returns `null` if the header contains no key.
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
  if (name === '' || !text.includes(':')) {
    return `${entry} has no name: write name:key, where the name is that of the caller, such as orders-api`
  }
  if (rest.length > 0) {
    return `${entry} has more than three parts: it must be name:key or name:key:role+role, and a key contains no colon`
  }
  if (key.length < MIN_KEY_LENGTH) {
    return `${entry} has a key with fewer than ${MIN_KEY_LENGTH} characters: create one with openssl rand -hex 24`
  }
  if (!canBeSent(key)) {
    return `${entry} has a key that cannot be sent in a header: use ASCII without spaces, such as the output of openssl rand -hex 24`
  }
  const roleNames = roles === undefined ? DEFAULT_ROLES : roles.split('+')
  const unknown = roleNames.filter((role) => !(ROLES as readonly string[]).includes(role))
  if (unknown.length > 0) return `${entry} has an unknown role: use ${ROLES.join(', ')}`
  return { name, key, roles: roleNames as Role[] }
}
