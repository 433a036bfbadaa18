import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { vi } from 'vitest'
import { findUnusedPort } from '../_support/port.js'

/** What the configuration and the arguments of a proxy depend on: its directory, its port and its target. */
interface ProxyPlace {
  /** A directory that only this proxy uses. */
  dir: string
  /** The port of the loopback interface on which the proxy listens. */
  port: string
  /** The host and port of the server to which the proxy forwards requests. */
  target: string
}

/** A proxy from a Debian package, with a configuration. */
export interface ProxyProgram {
  name: string
  command: string
  /** The Debian package that contains the command. */
  debianPackage: string
  /** Returns the arguments that run the command in the foreground with the configuration file `dir/config`. */
  args(place: ProxyPlace): string[]
  /** Returns the content of the configuration file. */
  config(place: ProxyPlace): string
  /** The path under which the proxy serves the target. It ends with a slash. The proxy removes it from request URLs. */
  path: string
  /** The signal that ends the command. Default: SIGTERM. */
  endSignal?: NodeJS.Signals
}

/** The modules of Apache that every proxy needs. */
const APACHE_MODULES = ['mpm_event', 'authz_core', 'proxy', 'proxy_http']

/**
 * Returns a configuration of Apache.
 *
 * @param modules Further modules to load, without the suffix `_module`.
 * @param settings Further directives.
 */
export function apacheConfig(
  { dir, port }: ProxyPlace,
  modules: readonly string[],
  settings: string,
): string {
  const load = (module: string) =>
    `LoadModule ${module}_module /usr/lib/apache2/modules/mod_${module}.so`
  return `
    ${[...APACHE_MODULES, ...modules].map(load).join('\n')}
    ServerName 127.0.0.1
    Listen 127.0.0.1:${port}
    PidFile ${dir}/pid
    DefaultRuntimeDir ${dir}
    ErrorLog /dev/stderr
    User www-data
    Group www-data
    ${settings}`
}

/** A running proxy. */
export interface RunningProxy {
  /** The URL of the server through the proxy. */
  url: string
  close(): Promise<void>
}

/** The properties of all programs with nginx. `config` returns a configuration with this `location` block. */
const nginx = {
  command: 'nginx',
  debianPackage: 'nginx-light',
  args: ({ dir }: ProxyPlace) => ['-p', dir, '-c', join(dir, 'config'), '-e', 'stderr'],
  config: ({ dir, port }: ProxyPlace, location: string) => `
    daemon off;
    pid ${dir}/pid;
    events {}
    http {
      access_log off;
      client_body_temp_path ${dir}/body;
      proxy_temp_path ${dir}/proxy;
      fastcgi_temp_path ${dir}/fastcgi;
      uwsgi_temp_path ${dir}/uwsgi;
      scgi_temp_path ${dir}/scgi;
      server {
        listen 127.0.0.1:${port};
        ${location}
      }
    }`,
}

/** Returns Caddy as a proxy, with further directives such as `encode gzip`. */
export function caddyWith(...directives: string[]): ProxyProgram {
  return {
    name: 'Caddy',
    command: 'caddy',
    debianPackage: 'caddy',
    path: '/',
    // After SIGTERM, Caddy would wait until all connections are closed.
    endSignal: 'SIGKILL',
    args: ({ dir }) => ['run', '--adapter', 'caddyfile', '--config', join(dir, 'config')],
    config: ({ port, target }) => `{
      admin off
      auto_https off
    }
    http://127.0.0.1:${port} {
      bind 127.0.0.1
      ${directives.join('\n      ')}
      reverse_proxy ${target}
    }`,
  }
}

/** The tested proxies. They differ in how they decode, rewrite or reject paths. */
export const PROXIES: ProxyProgram[] = [
  {
    ...nginx,
    name: 'nginx',
    path: '/',
    config: (place) => nginx.config(place, `location / { proxy_pass http://${place.target}; }`),
  },
  {
    ...nginx,
    name: 'nginx with a path in proxy_pass',
    path: '/last-logout/',
    config: (place) =>
      nginx.config(place, `location /last-logout/ { proxy_pass http://${place.target}/; }`),
  },
  {
    name: 'Apache',
    command: 'apache2',
    debianPackage: 'apache2',
    path: '/',
    args: ({ dir }) => ['-d', dir, '-f', join(dir, 'config'), '-DFOREGROUND'],
    config: (place) => apacheConfig(place, [], `ProxyPass / http://${place.target}/`),
  },
  {
    name: 'HAProxy',
    command: 'haproxy',
    debianPackage: 'haproxy',
    path: '/',
    args: ({ dir }) => ['-db', '-f', join(dir, 'config')],
    config: ({ port, target }) => `
      defaults
        mode http
        timeout connect 5s
        timeout client 5s
        timeout server 5s
      listen proxy
        bind 127.0.0.1:${port}
        server service ${target}
`,
  },
  caddyWith(),
  {
    name: 'Varnish',
    command: 'varnishd',
    debianPackage: 'varnish',
    path: '/',
    args({ dir, port }) {
      const paths = ['-n', dir, '-f', join(dir, 'config')]
      const withoutJailAndAdminPort = ['-j', 'none', '-T', 'none']
      return [
        '-F',
        ...paths,
        ...withoutJailAndAdminPort,
        '-a',
        `127.0.0.1:${port}`,
        '-s',
        'malloc,16m',
      ]
    },
    config: ({ target }) => {
      const [host, port] = target.split(':')
      return `vcl 4.1; backend service { .host = "${host}"; .port = "${port}"; }`
    },
  },
]

/** Returns the proxy of {@link PROXIES} with this name. */
export function findProxy(name: string): ProxyProgram {
  const proxyProgram = PROXIES.find((program) => program.name === name)
  if (proxyProgram === undefined) throw new Error(`PROXIES contains no proxy with the name ${name}`)
  return proxyProgram
}

/** Starts a proxy that forwards requests to the server of a URL. Resolves when this server responds through it. */
export async function startProxy(program: ProxyProgram, targetUrl: string): Promise<RunningProxy> {
  const dir = await mkdtemp(join(tmpdir(), 'last-logout-proxy-'))
  // If root starts them, some proxies read the directory as another user.
  await chmod(dir, 0o755)
  const place = { dir, port: await findUnusedPort(), target: new URL(targetUrl).host }
  await writeFile(join(dir, 'config'), program.config(place))
  // The output is a file, because Apache cannot open /dev/stderr if it is a pipe of Node.js.
  const output = await open(join(dir, 'output'), 'w')
  const child = spawn(program.command, program.args(place), {
    stdio: ['ignore', output.fd, output.fd],
    env: { PATH: `${process.env.PATH}:/usr/sbin:/sbin`, HOME: dir, XDG_DATA_HOME: dir },
  })
  const url = `http://127.0.0.1:${place.port}${program.path}`
  const close = async () => {
    await endProcess(child, program.endSignal)
    await rm(dir, { recursive: true, force: true })
  }
  try {
    await Promise.race([waitUntilServed(url), rejectWhenEnded(program, child, dir)])
  } catch (error) {
    await close()
    throw error
  } finally {
    await output.close()
  }
  return { url, close }
}

/** Resolves when the target responds through the proxy. Rejects after 20 s. */
function waitUntilServed(url: string): Promise<void> {
  const request = async () => {
    const { status } = await fetch(`${url}health/live`)
    // With 502 or 503, the proxy reports that it cannot reach the target. Any other status is from the target.
    if (status === 502 || status === 503) throw new Error(`${url} has status ${status}`)
  }
  return vi.waitFor(request, { timeout: 20_000, interval: 50 })
}

/** Rejects with the output of the program when the program exits. Also rejects if the program is not installed. */
async function rejectWhenEnded(
  program: ProxyProgram,
  child: ChildProcess,
  dir: string,
): Promise<never> {
  const { name, command, debianPackage } = program
  const [code] = await once(child, 'exit').catch((cause) => {
    const message = `${name} cannot be started: install it with \`apt-get install ${debianPackage}\``
    throw new Error(message, { cause })
  })
  // `startProxy` may already have deleted the directory.
  const output = await readFile(join(dir, 'output'), 'utf8').catch(() => '')
  throw new Error(`${name}: ${command} exited with ${code}: ${output}`)
}

/** Ends a process, unless it has not started or has already ended. */
async function endProcess(child: ChildProcess, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill(signal)
  await exited
}
