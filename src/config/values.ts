import { isIP } from 'node:net'
import { z } from 'zod'
import { DEFAULT_TYPES, findTypeProblem, OPTIONAL_TYPES } from '../rules/event-types.js'
import { DAY_MS, HOUR_MS } from '../rules/instant.js'
import { readUrl } from '../rules/url.js'
import { MAX_PORT, readNumber } from './api-address.js'

/** Minimum length of an API key and of the log stream's token, in characters. */
export const MIN_KEY_LENGTH = 32

/** Maximum of each duration, in days: ten years. A longer duration is certainly a mistake. */
const MAX_DAYS = 3_650

const UNITS = { ms: 1, s: 1_000, m: 60_000, h: HOUR_MS, d: DAY_MS } as const

/** Schema of a duration such as `5s`. The parsed value is in milliseconds. */
export const duration = (fallback: string, minMs: number) =>
  z
    .string()
    .default(fallback)
    .transform((text, context) => {
      const [, digits, unit] = /^(\d+)(ms|s|m|h|d)$/.exec(text) ?? []
      const ms = Number(digits) * UNITS[unit as keyof typeof UNITS]
      if (ms >= minMs && ms <= MAX_DAYS * DAY_MS) return ms
      return addProblem(
        context,
        `must be a duration from ${minMs}ms to ${MAX_DAYS}d, such as ${fallback}`,
      )
    })

/** Schema of a number from `min` to `max`. If `step` is 1, only integers are valid. */
export const number = (fallback: number, min: number, max: number, step?: 1) =>
  z
    .string()
    .default(`${fallback}`)
    .transform(numberWithin(min, max, step))

/** Schema of a TCP port. 0 means any free port. */
export const port = z.string().transform(numberWithin(0, MAX_PORT, 1))

/** Schema of a host name, with an optional port. */
export const domain = z
  .string()
  .toLowerCase()
  .refine((text) => /^[a-z0-9.-]+(:\d+)?$/.test(text), {
    message:
      'must be the bare host name of the tenant, such as example.eu.auth0.com, without https:// and without a path',
  })

/** Schema of the base URL of the tenant. */
export const baseUrl = z.string().refine(isSafeBaseUrl, {
  message: 'must be an https URL without a path; http is allowed for the loopback interface only',
})

/** Schema of the event types that count as logouts. The result always contains the default types. */
export const eventTypes = z.string().transform((text, context) => {
  const types = splitList(text)
  for (const type of types) {
    const problem = findTypeProblem(type)
    if (problem === 'forbidden') {
      addProblem(
        context,
        `must not contain ${type}: outsiders can trigger it, or it does not end a whole session`,
      )
    }
    if (problem === 'unknown') {
      addProblem(
        context,
        `contains the unknown event type ${type}: use ${OPTIONAL_TYPES.join(', ')}`,
      )
    }
  }
  return [...new Set<string>([...DEFAULT_TYPES, ...types])]
})

function numberWithin(min: number, max: number, step?: 1) {
  return (text: string, context: z.RefinementCtx): number => {
    const value = readNumber(text)
    const isInteger = step === undefined || Number.isInteger(value)
    if (value >= min && value <= max && isInteger) return value
    return addProblem(context, `must be a ${step ? 'whole ' : ''}number from ${min} to ${max}`)
  }
}

/** Schema of the trusted proxies. Each item is an address, a network or the name of a group of networks. */
export const proxies = z.string().transform((text, context) => {
  const networks = splitList(text)
  if (networks.length > 0 && networks.every(isNetwork)) return networks
  return addProblem(
    context,
    'must list the addresses of your proxies, such as 10.0.0.0/8, 192.0.2.7 or loopback; a number of hops is not accepted',
  )
})

/** Schema of a secret that is sent as the value of an HTTP header. */
export const headerToken = z
  .string()
  .min(MIN_KEY_LENGTH, `must have at least ${MIN_KEY_LENGTH} characters`)
  .regex(
    /^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$/,
    'must consist of printable ASCII characters, since it is sent in a header',
  )

/**
 * Whether a text is an address, a network or the name of a group of networks. A prefix length of 0 is not accepted,
 * because then every client would be a trusted proxy.
 */
function isNetwork(text: string): boolean {
  if (['loopback', 'linklocal', 'uniquelocal'].includes(text)) return true
  const [address = '', bits, ...extraParts] = text.split('/')
  // Excludes IPv6 addresses with a zone, such as `fe80::1%eth0`, which `isIP` accepts.
  const version = address.includes('%') ? 0 : isIP(address)
  if (version === 0 || extraParts.length > 0) return false
  const maxBits = version === 4 ? 32 : 128
  return bits === undefined || (/^[1-9]\d*$/.test(bits) && Number(bits) <= maxBits)
}

function isSafeBaseUrl(text: string): boolean {
  const parsed = readUrl(text)
  // Credentials are not allowed, because the base URL is printed. A path or a query is not allowed, because paths are
  // appended to the base URL.
  return parsed !== null && parsed.href === `${parsed.origin}/` && isSecureUrl(parsed)
}

/** Whether connections to the URL are confidential: https, or http on the loopback interface. */
export function isSecureUrl({ protocol, hostname }: URL): boolean {
  const isLoopback = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(hostname)
  return protocol === 'https:' || (protocol === 'http:' && isLoopback)
}

/** Splits a comma-separated list. Trims the items, and drops empty items. */
export function splitList(text: string): string[] {
  return text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '')
}

/**
 * Adds a problem of a variable to the problems that Zod collects. The message is printed after the name of the variable.
 *
 * @returns A placeholder for the value. It is never used, because a variable with a problem has no value.
 */
// With a declared return type `never`, TypeScript would take the code after a call for unreachable.
export function addProblem(context: z.RefinementCtx, message: string) {
  context.addIssue({ code: 'custom', message })
  return z.NEVER
}
