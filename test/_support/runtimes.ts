import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { access, mkdtemp, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { build } from 'esbuild'
import { INSTALLED_DIR, requireInstalled } from './installed.js'
import { findNode, NODE_RELEASES } from './node-releases.js'
import type { ProtectedServer } from './protected-server.js'

/** A JavaScript runtime, and how to run an app in it. */
export interface Runtime {
  name: string
  /** Whether a connection of an app stays open between two requests that the app handles. */
  keepsConnections: boolean
  /**
   * Code that serves the function `handle` on a free port of the loopback interface, and prints the port. In workerd,
   * the runtime prints the port.
   */
  entryCode: string
  /** Returns the command that runs the bundle in the file `app`. */
  command(app: string): Promise<string[]>
}

/** The configuration of workerd. The app may connect to private addresses, because the tests use the loopback. */
const WORKERD_CONFIG = `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "app", worker = .app),
    (name = "internet", network = (allow = ["private"])),
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "app")],
);
const app :Workerd.Worker = (
  modules = [(name = "app", esModule = embed "app.js")],
  compatibilityDate = "2026-11-01",
);
`

/** A program that runs an app in the edge runtime of Next, and prints the port. */
const EDGE_HOST = `import { readFileSync } from 'node:fs'
import { EdgeRuntime, runServer } from 'edge-runtime'
const runtime = new EdgeRuntime({ initialCode: readFileSync(process.argv[2], 'utf8') })
const { url } = await runServer({ runtime, host: '127.0.0.1', port: 0 })
console.log(new URL(url).port)
`

/** The code that serves `handle` in Node.js. */
const NODE_ENTRY = `import { createServer } from 'node:http'
const server = createServer(async (req, res) => {
  const body = await new Response(req).text()
  const response = await handle(new Request('http://app' + req.url, { method: req.method, body }))
  res.writeHead(response.status, Object.fromEntries(response.headers)).end(await response.text())
}).listen(0, '127.0.0.1', () => console.log(server.address().port))`

const nodeRuntime = (release: number): Runtime => ({
  name: `Node ${release}`,
  keepsConnections: true,
  entryCode: NODE_ENTRY,
  command: async (app) => [await findNode(release), app],
})

/** The runtimes that the client supports. */
export const RUNTIMES: Runtime[] = [
  {
    name: 'workerd',
    keepsConnections: false,
    entryCode: 'export default { fetch: handle }',
    async command(app) {
      const config = app.replace(/app\.js$/, 'config.capnp')
      await writeFile(config, WORKERD_CONFIG)
      return [requireInstalled('workerd').default, 'serve', config, '--control-fd=1']
    },
  },
  {
    name: "Next's edge runtime",
    keepsConnections: false,
    entryCode: `addEventListener('fetch', (event) => event.respondWith(handle(event.request)))`,
    async command(app) {
      const host = join(INSTALLED_DIR, 'node_modules', '.edge-host.mjs')
      await writeFile(host, EDGE_HOST)
      return [process.execPath, host, app]
    },
  },
  {
    name: 'Bun',
    keepsConnections: true,
    entryCode: `const { port } = Bun.serve({ hostname: '127.0.0.1', port: 0, fetch: handle })
console.log(port)`,
    command: async (app) => [await findBinary('@oven', 'bin/bun'), app],
  },
  {
    name: 'Deno',
    keepsConnections: true,
    entryCode: `Deno.serve({ hostname: '127.0.0.1', port: 0, onListen: ({ port }) => console.log(port) }, handle)`,
    command: async (app) => [await findBinary('@deno', 'deno'), 'run', '--allow-net', app],
  },
  ...NODE_RELEASES.map(nodeRuntime),
]

/**
 * Finds a binary in the packages of a scope. The scope has one package per platform, and npm installs only the package
 * for this platform.
 */
async function findBinary(scope: string, path: string): Promise<string> {
  const scopeDir = join(INSTALLED_DIR, 'node_modules', scope)
  for (const name of await readdir(scopeDir)) {
    const file = join(scopeDir, name, path)
    const exists = await access(file).then(
      () => true,
      () => false,
    )
    if (exists) return file
  }
  throw new Error(`no ${path} in ${scopeDir}`)
}

/**
 * Bundles `runtime-app.js` with the client package, and serves the bundle in a runtime.
 *
 * @param project The directory in which the client package is installed.
 * @param define The constants that the app uses but does not define.
 */
export async function serveInRuntime(
  { entryCode, command }: Runtime,
  { project, define }: { project: string; define: Record<string, unknown> },
): Promise<ProtectedServer> {
  const dir = await mkdtemp(join(project, 'runtime-'))
  const app = join(dir, 'app.js')
  await build({
    stdin: {
      contents: `import { handle } from './runtime-app.js'\n${entryCode}`,
      resolveDir: 'test/consumers',
    },
    nodePaths: [join(project, 'node_modules')],
    define: Object.fromEntries(
      Object.entries(define).map(([key, value]) => [key, JSON.stringify(value)]),
    ),
    bundle: true,
    format: 'esm',
    external: ['node:*'],
    outfile: app,
    logLevel: 'warning',
  })
  const [executable = '', ...args] = await command(app)
  const child = spawn(executable, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const [line] = await once(createInterface(child.stdout), 'line')
  // The port is the last number in the line. workerd prints more than the port.
  const [port] = /\d+(?=\D*$)/.exec(line) ?? []
  return {
    url: `http://127.0.0.1:${port}/`,
    async close() {
      const exited = once(child, 'exit')
      child.kill('SIGKILL')
      await exited
    },
  }
}
