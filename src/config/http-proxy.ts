import { z } from 'zod'
import { readUrl } from '../rules/url.js'
import { addProblem } from './values.js'

/** An HTTP proxy. */
export interface HttpProxy {
  /** The URL of the proxy, without credentials. It may be printed. */
  url: string
  /** The value of `Proxy-Authorization` (RFC 9110 §11.7.2). */
  authorization: string | undefined
}

/** Schema of the URL of an HTTP proxy. The default scheme is `http`, as in curl. */
export const httpProxy = z.string().transform((text, context): HttpProxy => {
  const url = text.includes('://') ? text : `http://${text}`
  return (
    readProxy(readUrl(url)) ??
    addProblem(
      context,
      'must be the URL of an HTTP proxy without a path, such as http://proxy.example:3128; credentials in it must be percent-encoded, and SOCKS is not supported',
    )
  )
})

function readProxy(url: URL | null): HttpProxy | null {
  if (url === null || !['http:', 'https:'].includes(url.protocol)) return null
  const { origin, username, password } = url
  if (url.pathname + url.search + url.hash !== '/') return null
  if (username === '' && password === '') return { url: origin, authorization: undefined }
  try {
    const credentials = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`
    return { url: origin, authorization: `Basic ${Buffer.from(credentials).toString('base64')}` }
  } catch {
    return null
  }
}

/**
 * Whether requests to a URL must not use the proxy, because `noProxy` contains the host of the URL. Follows the rules
 * of curl:
 *
 * - Items are separated by commas or spaces.
 * - An item matches a host and its subdomains. `*` matches every host.
 * - An item with a port matches only that port.
 */
export function isWithoutProxy(url: URL, noProxy: string): boolean {
  const port = url.port || (url.protocol === 'https:' ? '443' : '80')
  const items = noProxy.toLowerCase().split(/[\s,]+/)
  return items.some((item) => {
    const [, host = item, itemPort = port] = /^(\[.*\]|[^:]*):(\d+)$/.exec(item) ?? []
    const suffix = host.replace(/^(\*?\.)/, '')
    if (suffix === '' || itemPort !== port) return false
    return suffix === '*' || url.hostname === suffix || url.hostname.endsWith(`.${suffix}`)
  })
}
