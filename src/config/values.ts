import { isIP } from 'node:net'
import { z } from 'zod'
import { DEFAULT_TYPES, OPTIONAL_TYPES, refuseType } from '../rules/event-types.js'

/** One day, in milliseconds. */
export const DAY_MS = 86_400_000

/** Fewest characters of an API key or of the log stream's token. */
export const MIN_KEY_LENGTH = 32

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
  .min(MIN_KEY_LENGTH, `must have at least ${MIN_KEY_LENGTH} characters`)
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

/** The items of a list with commas, without the spaces around them. */
export function splitList(text: string): string[] {
  return text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '')
}

/** Reports a problem with a variable. */
export function fail(context: z.RefinementCtx, message: string): never {
  context.addIssue({ code: 'custom', message })
  return z.NEVER
}
