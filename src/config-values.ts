import { isIP } from 'node:net'
import { z } from 'zod'
import { DEFAULT_TYPES, OPTIONAL_TYPES, refuseType } from './rules/event-types.js'

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

/** One day, in milliseconds. */
export const DAY_MS = 86_400_000
/** The fewest characters of a key. */
const SHORTEST_KEY = 32
const DEFAULT_ROLES: Role[] = ['read', 'check', 'feed']

const UNITS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: DAY_MS } as const

/** A duration as it is written in the environment, read to milliseconds. */
export const duration = (fallback: string, leastMs: number) =>
  z
    .string()
    .default(fallback)
    .transform((text, context) => {
      const [, digits, unit] = /^(\d+)(ms|s|m|h|d)$/.exec(text) ?? []
      const ms = Number(digits) * UNITS[unit as keyof typeof UNITS]
      if (ms >= leastMs && ms <= 3_650 * DAY_MS) return ms
      return fail(context, `must be a duration such as ${fallback}, and at least ${leastMs} ms`)
    })

/** A number within bounds; `step` 1 takes whole ones only. */
export const number = (fallback: number, least: number, most: number, step?: 1) =>
  z
    .string()
    .default(`${fallback}`)
    .transform(numberWithin(least, most, step))

/** Where to listen; 0: at any port that is free. */
export const port = z.string().transform(numberWithin(0, 65_535, 1))

/** A URL of one of these protocols, which end in a colon. */
export const url = (protocols: string[], example: string) =>
  z.string().refine((text) => protocols.includes(readUrl(text)?.protocol ?? ''), {
    message: `must be a URL such as ${example}`,
  })

/** A bare host name. */
export const domain = z
  .string()
  .toLowerCase()
  .refine((text) => /^[a-z0-9.-]+(:\d+)?$/.test(text), {
    message: 'must be the bare host name of the tenant, such as example.eu.auth0.com',
  })

/** Where the tenant is reached. */
export const baseUrl = z.string().refine(isSafeBaseUrl, {
  message: 'must be an https URL without a path; http only for the loopback',
})

/** Event types that count, beside those that always do. */
export const eventTypes = z.string().transform((text, context) => {
  const listed = splitList(text)
  for (const type of listed) {
    const refusal = refuseType(type)
    if (refusal === 'forbidden') {
      fail(context, `must not name ${type}: outsiders can cause it, or it ends less than a session`)
    }
    if (refusal === 'unknown') {
      fail(context, `does not know ${type}: it may name ${OPTIONAL_TYPES.join(', ')}`)
    }
  }
  return [...new Set<string>([...DEFAULT_TYPES, ...listed])]
})

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

function numberWithin(least: number, most: number, step?: 1) {
  return (text: string, context: z.RefinementCtx): number => {
    const value = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN
    const isWhole = step === undefined || Number.isInteger(value)
    if (value >= least && value <= most && isWhole) return value
    return fail(context, `must be a ${step ? 'whole ' : ''}number from ${least} to ${most}`)
  }
}

/** The proxies in front of the API: addresses, networks, or names of networks. */
export const proxies = z.string().transform((text, context) => {
  const listed = splitList(text)
  if (listed.length > 0 && listed.every(isNetwork)) return listed
  return fail(
    context,
    'must list the addresses of your proxies, such as 10.0.0.0/8, 192.0.2.7 or loopback; not how many they are',
  )
})

/** What is sent in a header as it stands. */
export const headerToken = z
  .string()
  .min(SHORTEST_KEY, `must have at least ${SHORTEST_KEY} characters`)
  .regex(/^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$/, 'must be of ASCII characters, as a header is')

/** One of everybody is refused: everybody could then say to be anybody. */
function isNetwork(text: string): boolean {
  if (['loopback', 'linklocal', 'uniquelocal'].includes(text)) return true
  const [address = '', bits, ...rest] = text.split('/')
  const version = address.includes('%') ? 0 : isIP(address)
  if (version === 0 || rest.length > 0) return false
  const mostBits = version === 4 ? 32 : 128
  return bits === undefined || (/^[1-9]\d*$/.test(bits) && Number(bits) <= mostBits)
}

function readApiKey(text: string, index: number): ApiKey | string {
  const [name = '', key = '', roles, ...rest] = text.split(':')
  const entry = `entry ${index + 1}`
  if (name === '' || rest.length > 0) return `${entry} must read name:key or name:key:role+role`
  if (key.length < SHORTEST_KEY) return `${entry} has a key of less than ${SHORTEST_KEY} characters`
  if (!/^[\x21-\x7e]+$/.test(key)) {
    return `${entry} has a key that no header carries: use ASCII without spaces, as openssl rand -hex 24 gives`
  }
  const listed = roles === undefined ? DEFAULT_ROLES : roles.split('+')
  const unknown = listed.filter((role) => !(ROLES as readonly string[]).includes(role))
  if (unknown.length > 0) return `${entry} has an unknown role: it may be ${ROLES.join(', ')}`
  return { name, key, roles: listed as Role[] }
}

function isSafeBaseUrl(text: string): boolean {
  const parsed = readUrl(text)
  // Neither credentials, which would be printed, nor anything that a path cannot follow.
  return parsed !== null && parsed.href === `${parsed.origin}/` && isSafe(parsed)
}

/** Whether what is sent there cannot be read on the way: https, or http that does not leave the machine. */
export function isSafe({ protocol, hostname }: URL): boolean {
  const isLoopback = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(hostname)
  return protocol === 'https:' || (protocol === 'http:' && isLoopback)
}

function readUrl(text: string): URL | null {
  return URL.canParse(text) ? new URL(text) : null
}

function splitList(text: string): string[] {
  return text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '')
}

function fail(context: z.RefinementCtx, message: string): never {
  context.addIssue({ code: 'custom', message })
  return z.NEVER
}
