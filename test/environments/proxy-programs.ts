import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { vi } from 'vitest'
import { findUnusedPort } from '../_support/port.js'

/** The directory, the port and the target of a running proxy. */
interface ProxyPlace {
  /** A directory that only this proxy uses. */
  dir: string
  /** The port of the loopback interface on which the proxy listens. */
  port: string
  /** The host and port of the server to which the proxy forwards requests. */
  target: string
}

/** A proxy program of Debian with a minimal configuration. */
export interface ProxyProgram {
  name: string
  command: string
  /** The Debian package that contains the command. */
  debianPackage: string
  /** Returns the arguments that run the command in the foreground with the configuration file `dir/config`. */
  args(place: ProxyPlace): string[]
  config(place: ProxyPlace): string
  /** The path that the proxy removes from request URLs. It ends with a slash. */
  path: string
  /** The signal that ends the command. Default: SIGTERM. */
  endSignal?: NodeJS.Signals
}

const APACHE_MODULES = ['mpm_event', 'authz_core', 'proxy', 'proxy_http']

/** Returns a configuration of Apache. It listens on the port and loads the modules of a proxy and the given modules. */
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

/** Returns Caddy with these directives in its site configuration. */
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

/** The proxies of the tests. They decode, rewrite or reject paths differently. */
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
    args: ({ dir, port }) =>
      ['-F', '-n', dir, '-j', 'none', '-T', 'none', '-f', join(dir, 'config')].concat([
        '-a',
        `127.0.0.1:${port}`,
        '-s',
        'malloc,16m',
      ]),
    config: ({ target }) => {
      const [host, port] = target.split(':')
      return `vcl 4.1; backend service { .host = "${host}"; .port = "${port}"; }`
    },
  },
]

/** Returns the proxy with this name. */
export function findProxy(name: string): ProxyProgram {
  const proxyProgram = PROXIES.find((program) => program.name === name)
  if (proxyProgram === undefined) throw new Error(`PROXIES contains no proxy with the name ${name}`)
  return proxyProgram
}

/** Starts a proxy that forwards requests to the server of a URL. */
export async function startProxy(program: ProxyProgram, targetUrl: string): Promise<RunningProxy> {
  const dir = await mkdtemp(join(tmpdir(), 'last-logout-proxy-'))
  // A proxy that root starts reads the directory as another user.
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
    await end(child, program.endSignal)
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

function waitUntilServed(url: string): Promise<void> {
  const request = async () => {
    const { status } = await fetch(`${url}health/live`)
    // A proxy responds with 502 or 503 if it cannot reach the server. Any other status is from the server.
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
  const output = await readFile(join(dir, 'output'), 'utf8').catch(() => '')
  throw new Error(`${name}: ${command} exited with ${code}: ${output}`)
}

async function end(child: ChildProcess, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill(signal)
  await exited
}
