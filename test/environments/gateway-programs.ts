import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { configureNginx } from '../../src/demo/nginx-configuration.js'
import { apacheConfig, findProxy, type ProxyProgram } from './proxy-programs.js'

/** What the configuration of a gateway contains: the API behind it, its key, and the certificate of last-logout. */
export interface GatewaySettings {
  /** The host and port of the API behind the gateway. */
  upstream: string
  /** The key with which the gateway calls last-logout. */
  key: string
  /** The file with the certificate of last-logout. Only Apache reads it, because Apache requires TLS. */
  certificateFile: string
}

const APACHE_MODULES = ['authn_core', 'authz_user', 'headers', 'macro', 'auth_openidc']

/**
 * Returns a gateway from a Debian package, with its configuration from deploy/gateways. Replaces the example addresses
 * and the example key of this configuration. The `target` of the program is last-logout.
 */
export async function createGateway(
  name: string,
  { upstream, key, certificateFile }: GatewaySettings,
): Promise<ProxyProgram> {
  const readConfiguration = async (file: string) => {
    const text = await readFile(`deploy/gateways/${file}`, 'utf8')
    return text.replaceAll('127.0.0.1:3000', upstream).replaceAll('GATEWAY_KEY', key)
  }
  switch (name) {
    case 'nginx': {
      const configuration = await readFile('deploy/gateways/nginx.conf', 'utf8')
      return {
        ...findProxy('nginx'),
        config: ({ dir: directory, port, target }) =>
          configureNginx(configuration, { directory, port, target, upstream, key }),
      }
    }
    case 'Apache': {
      const text = await readConfiguration('apache.conf')
      return {
        ...findProxy('Apache'),
        config: (place) =>
          apacheConfig(
            place,
            APACHE_MODULES,
            `OIDCCABundlePath ${certificateFile}\n${text
              .replaceAll('last-logout.example.com', place.target)
              .replace('*:8000', `127.0.0.1:${place.port}`)}`,
          ),
      }
    }
    case 'HAProxy': {
      const text = await readConfiguration('haproxy.cfg')
      return {
        ...findProxy('HAProxy'),
        config: ({ port, target }) =>
          text
            .replace('/etc/haproxy/last-logout.lua', resolve('deploy/gateways/haproxy.lua'))
            .replaceAll('127.0.0.1:8080', target)
            .replace('bind :8000', `bind 127.0.0.1:${port}`),
      }
    }
    default: {
      const text = await readConfiguration('Caddyfile')
      return {
        ...findProxy('Caddy'),
        config: ({ port, target }) =>
          // The test needs neither the admin endpoint of Caddy nor certificates.
          `{\n\tadmin off\n\tauto_https off\n}\n${text
            .replaceAll('127.0.0.1:8080', target)
            .replace(':8000', `http://127.0.0.1:${port}`)}`,
      }
    }
  }
}
