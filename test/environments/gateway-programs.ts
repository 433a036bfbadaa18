import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { configureNginx } from '../../src/demo/nginx-configuration.js'
import { apacheConfig, findProxy, type ProxyProgram } from './proxy-programs.js'

/** The settings of a gateway: the API behind it, its key, and the certificate of last-logout. */
export interface GatewaySettings {
  /** The host and port of the API behind the gateway. */
  upstream: string
  key: string
  /** A file with the certificate of last-logout. Apache requires TLS. */
  certificateFile: string
}

const APACHE_MODULES = ['authn_core', 'authz_user', 'headers', 'macro', 'auth_openidc']

/**
 * Returns a gateway program of Debian with its configuration from deploy/gateways. The `target` of the program is
 * last-logout.
 */
export async function createGateway(
  name: string,
  { upstream, key, certificateFile }: GatewaySettings,
): Promise<ProxyProgram> {
  const read = async (file: string) => {
    const text = await readFile(`deploy/gateways/${file}`, 'utf8')
    return text.replaceAll('127.0.0.1:3000', upstream).replaceAll('GATEWAY_KEY', key)
  }
  switch (name) {
    case 'nginx': {
      const shipped = await readFile('deploy/gateways/nginx.conf', 'utf8')
      return {
        ...findProxy('nginx'),
        config: ({ dir: directory, port, target }) =>
          configureNginx(shipped, { directory, port, target, upstream, key }),
      }
    }
    case 'Apache': {
      const text = await read('apache.conf')
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
      const text = await read('haproxy.cfg')
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
      const text = await read('Caddyfile')
      return {
        ...findProxy('Caddy'),
        config: ({ port, target }) =>
          `{\n\tadmin off\n\tauto_https off\n}\n${text
            .replaceAll('127.0.0.1:8080', target)
            .replace(':8000', `http://127.0.0.1:${port}`)}`,
      }
    }
  }
}
