import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { vi } from 'vitest'
import { freePort } from '../_support/port.js'

/** Where a proxy runs. */
interface Place {
  /** A directory of its own. */
  dir: string
  /** The port of the loopback that it listens on. */
  port: string
  /** The host and port of the server that it stands in front of. */
  target: string
}

/** A proxy of Debian, with the least configuration that makes it one. */
export interface ProxyProgram {
  name: string
  command: string
  /** The Debian package that has the command. */
  debianPackage: string
  /** Runs it in the foreground with `config`, which stands in the file `dir/config`. */
  args(place: Place): string[]
  config(place: Place): string
  /** The path that the proxy takes off the URLs of requests; ends in a slash. */
  path: string
  /** Ends it; default SIGTERM. */
  endSignal?: NodeJS.Signals
}

/** A proxy that runs. */
export interface RunningProxy {
  /** The URL of the server by way of the proxy. */
  url: string
  close(): Promise<void>
}

const nginx = {
  command: 'nginx',
  debianPackage: 'nginx-light',
  args: ({ dir }: Place) => ['-p', dir, '-c', join(dir, 'config'), '-e', 'stderr'],
  config: ({ dir, port }: Place, location: string) => `
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

/** Caddy with these directives of its site. */
export function caddyWith(...directives: string[]): ProxyProgram {
  return {
    name: 'Caddy',
    command: 'caddy',
    debianPackage: 'caddy',
    path: '/',
    // At SIGTERM it would wait for connections that are still open.
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

/** Each reads, rewrites or rejects paths in a way of its own. */
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
    config: ({ dir, port, target }) => `
      LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
      LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
      LoadModule proxy_module /usr/lib/apache2/modules/mod_proxy.so
      LoadModule proxy_http_module /usr/lib/apache2/modules/mod_proxy_http.so
      ServerName 127.0.0.1
      Listen 127.0.0.1:${port}
      PidFile ${dir}/pid
      DefaultRuntimeDir ${dir}
      ErrorLog /dev/stderr
      User www-data
      Group www-data
      ProxyPass / http://${target}/`,
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

/** The proxy of a name. */
export function findProxy(name: string): ProxyProgram {
  const found = PROXIES.find((program) => program.name === name)
  if (found === undefined) throw new Error(`no proxy is called ${name}`)
  return found
}

/** Starts a proxy in front of the server that a URL names. */
export async function startProxy(program: ProxyProgram, targetUrl: string): Promise<RunningProxy> {
  const dir = await mkdtemp(join(tmpdir(), 'last-logout-proxy-'))
  // Started by root, a proxy reads it as another user.
  await chmod(dir, 0o755)
  const place = { dir, port: await freePort(), target: new URL(targetUrl).host }
  await writeFile(join(dir, 'config'), program.config(place))
  // A file, since Apache cannot open /dev/stderr where it is one of Node's pipes.
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
    await Promise.race([untilServed(url), untilEnded(program, child, dir)])
  } catch (error) {
    await close()
    throw error
  } finally {
    await output.close()
  }
  return { url, close }
}

function untilServed(url: string): Promise<void> {
  const request = async () => {
    const { status } = await fetch(`${url}health/live`)
    // Whatever the server says; these are the proxy's own.
    if (status === 502 || status === 503) throw new Error(`${url} has status ${status}`)
  }
  return vi.waitFor(request, { timeout: 20_000, interval: 50 })
}

/** Rejects when the program ends, with what it has written, and when it is not installed. */
async function untilEnded(program: ProxyProgram, child: ChildProcess, dir: string): Promise<never> {
  const { name, command, debianPackage } = program
  const [code] = await once(child, 'exit').catch((cause) => {
    const message = `${name} cannot be started: install it with \`apt-get install ${debianPackage}\``
    throw new Error(message, { cause })
  })
  const written = await readFile(join(dir, 'output'), 'utf8').catch(() => '')
  throw new Error(`${name}: ${command} exited with ${code}: ${written}`)
}

async function end(child: ChildProcess, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill(signal)
  await exited
}
