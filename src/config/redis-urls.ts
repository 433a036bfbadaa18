import { z } from 'zod'
import { readUrl } from '../rules/url.js'
import { addProblem } from './values.js'

/**
 * Schema of `REDIS_URL`. Its result is the URL of each node. Nodes of a cluster are separated by commas, either as
 * hosts, such as `redis://user:password@host1:6379,host2:6379`, or as URLs with the same credentials.
 */
export const redisUrls = z.string().transform((text, context) => {
  if (/^[a-z+-]*sentinel[a-z+-]*:/i.test(text)) {
    return addProblem(
      context,
      'names a Redis Sentinel, which is not supported: use the URL of the primary, as redis://host:6379, or remove REDIS_URL and run `last-logout migrate` to keep the schedule in PostgreSQL',
    )
  }
  const urls = splitNodes(text).map(readUrl)
  if (!urls.every(isRedisUrl)) {
    return addProblem(
      context,
      'must be a URL such as redis://host:6379, or redis://host1:6379,host2:6379 for the nodes of a cluster',
    )
  }
  if (new Set(urls.map(withoutHost)).size > 1) {
    return addProblem(
      context,
      'must have the same protocol, user, password and path for every node',
    )
  }
  // ioredis accepts any path and any parameter, and fails later or ignores them. An unencoded password can be in both,
  // so neither is printed.
  if (!urls.every(({ pathname }) => /^(\/\d*)?$/.test(pathname))) {
    return addProblem(
      context,
      'must have no path other than the number of a database, such as redis://host:6379/0, and a password percent-encoded (/ is %2F)',
    )
  }
  if (!urls.every(({ search, hash }) => /^(\?family=[046])?$/.test(search) && hash === '')) {
    return addProblem(
      context,
      'must have no parameters other than family=4 or family=6, and a password percent-encoded (? is %3F, # is %23); for TLS, use rediss:',
    )
  }
  const [first, ...others] = urls.map(({ href }) => href)
  return first === undefined ? z.NEVER : ([first, ...others] as const)
})

/**
 * Splits the text at commas before a URL and between hosts. Other commas stay, because a password can contain commas.
 */
function splitNodes(text: string): string[] {
  return text.split(/,(?=rediss?:\/\/)/i).flatMap((part) => {
    const [, before, list = '', after] = /^(\w+:\/\/(?:.*@)?)([^/?#]*)(.*)$/s.exec(part) ?? []
    const hosts = list.split(',')
    return hosts.every(isHost) ? hosts.map((host) => `${before}${host}${after}`) : [part]
  })
}

function isHost(text: string): boolean {
  return /^(\[[\da-f:.]+\]|[^:[\]]+)(:\d+)?$/i.test(text)
}

function isRedisUrl(url: URL | null): url is URL {
  return url !== null && /^rediss?:$/.test(url.protocol)
}

function withoutHost(url: URL): string {
  return Object.assign(new URL(url), { host: 'node', port: '' }).href
}
