import { chmod, readFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { configureNginx } from '../../src/demo/nginx-configuration.js'
import { type Certificates, openTlsFront, type TlsFront } from '../_support/tls.js'
import {
  apacheConfig,
  findProxy,
  type ProxyProgram,
  type RunningProxy,
  startProxy,
} from './proxy-programs.js'

/** The values that replace the examples in the configuration of a gateway. */
interface ConfigurationValues {
  /** The host and port of the API behind the gateway. */
  upstream: string
  /** The API key with which the gateway calls last-logout. */
  key: string
  /** The file with the certificate of last-logout. Only Apache reads it, because Apache requires TLS. */
  certificateFile: string
}

/** The modules of Apache that deploy/gateways/apache.conf needs, besides those that every proxy needs. */
const APACHE_MODULES = ['authn_core', 'authz_user', 'headers', 'macro', 'auth_openidc']

/** The gateways with a configuration in deploy/gateways. */
export type GatewayName = 'nginx' | 'Apache' | 'HAProxy' | 'Caddy'

/** Where a gateway finds last-logout and the API behind the gateway, and the API key with which it calls last-logout. */
export interface GatewayOptions {
  lastLogoutUrl: string
  upstreamUrl: string
  key: string
  certificates: Certificates
}

/** A running gateway. */
export interface RunningGateway extends RunningProxy {
  /** Last-logout with TLS, which Apache requires. The other gateways do not use it. */
  tlsFront: TlsFront
}

/** Starts a gateway. `close` also closes its `tlsFront`. */
export async function startGateway(
  name: GatewayName,
  { lastLogoutUrl, upstreamUrl, key, certificates }: GatewayOptions,
): Promise<RunningGateway> {
  const certificate = await certificates.create('IP:127.0.0.1')
  // Apache reads the certificate as another user.
  await chmod(dirname(certificate.file), 0o755)
  const tlsFront = await openTlsFront(lastLogoutUrl, certificate)
  const program = await createGateway(name, {
    upstream: new URL(upstreamUrl).host,
    key,
    certificateFile: certificate.file,
  })
  const { url, close } = await startProxy(program, name === 'Apache' ? tlsFront.url : lastLogoutUrl)
  return {
    url,
    tlsFront,
    async close() {
      await close()
      await tlsFront.close()
    },
  }
}

/**
 * Returns a gateway: a proxy in front of an API that sends the tokens of users to last-logout before it forwards a
 * request. Its configuration is the one in deploy/gateways, with other addresses and another key. The `target` of the
 * program is last-logout.
 *
 * In the configurations, the address of the API is 127.0.0.1:3000, that of last-logout is 127.0.0.1:8080 or
 * last-logout.example.com, and the gateway listens on port 8000.
 */
async function createGateway(
  name: GatewayName,
  { upstream, key, certificateFile }: ConfigurationValues,
): Promise<ProxyProgram> {
  /** Reads a configuration, and replaces the address of the API and the key. */
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
        config(place) {
          const settings = text
            .replaceAll('last-logout.example.com', place.target)
            .replace('*:8000', `127.0.0.1:${place.port}`)
          const trust = `OIDCCABundlePath ${certificateFile}`
          return apacheConfig(place, APACHE_MODULES, `${trust}\n${settings}`)
        },
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
    case 'Caddy': {
      const text = await readConfiguration('Caddyfile')
      return {
        ...findProxy('Caddy'),
        config({ port, target }) {
          const site = text
            .replaceAll('127.0.0.1:8080', target)
            .replace(':8000', `http://127.0.0.1:${port}`)
          // The tests need neither the admin endpoint of Caddy nor certificates.
          return `{\n\tadmin off\n\tauto_https off\n}\n${site}`
        },
      }
    }
  }
}
