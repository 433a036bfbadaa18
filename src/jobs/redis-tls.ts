import { isIP } from 'node:net'
import { type ConnectionOptions, checkServerIdentity, type PeerCertificate } from 'node:tls'

/**
 * Creates TLS options for Redis. The nodes of a cluster usually announce IP addresses, which certificates rarely
 * contain. So if the connection is to an IP address, a certificate for the host name of any of the URLs is accepted as
 * well.
 */
export function createTlsOptions(urls: readonly string[]): ConnectionOptions {
  const names = urls.map((url) => new URL(url).hostname)
  return {
    checkServerIdentity(host: string, certificate: PeerCertificate) {
      const error = checkServerIdentity(host, certificate)
      if (error === undefined || isIP(host) === 0) return error
      const matchesUrl = names.some((name) => checkServerIdentity(name, certificate) === undefined)
      return matchesUrl ? undefined : error
    },
  }
}
