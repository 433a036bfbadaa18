import { DEFAULT_ID_PREFIX } from './log-id.js'

const DOMAIN = /^[a-z\d]([a-z\d.-]*[a-z\d])?$/i

/** How a domain must be written, for messages. */
export const DOMAIN_RULE =
  'set a host name without https:// and without a path, such as acme.eu.auth0.com'

/** Whether the value is a host name. */
export function isDomain(value: unknown): value is string {
  return typeof value === 'string' && DOMAIN.test(value)
}

/** Throws a `TypeError` if the domain of a tenant or the prefix of its log ids is invalid. Returns the options. */
export function validateTenant<T extends { domain: string; prefix?: string }>(options: T): T {
  const { domain, prefix = DEFAULT_ID_PREFIX } = options
  if (!isDomain(domain)) throw new TypeError(`domain is '${domain}': ${DOMAIN_RULE}`)
  if (!/^\d{3}$/.test(prefix)) throw new TypeError(`prefix is '${prefix}': set three digits`)
  return options
}
