import { execFile, spawn } from 'node:child_process'
import { cp, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { delimiter, join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import { INSTALLED_DIR } from './installed.js'
import type { ProtectedServer } from './protected-server.js'

/** The option of the client in an example. */
const DENY_UNKNOWN = "onUnknown: 'deny'"

/** A copy of an example, in a directory with the packages that the example imports. */
export interface Example {
  /** Starts the example in a new process. */
  start(env: Record<string, string>): Promise<ProtectedServer>
  remove(): Promise<void>
}

/**
 * Copies an example, and runs the script `build` of its `package.json`, if it has one.
 *
 * @param name The folder in `examples`.
 * @param onUnknown Whether the copy refuses or accepts a token that the client could not check.
 */
export async function copyExample(name: string, onUnknown: 'deny' | 'allow'): Promise<Example> {
  // Next does not compile TypeScript in `node_modules`, so the copy must be in another directory.
  const dir = await mkdtemp(resolve('dist', `example-${name}-`))
  await symlink(join(INSTALLED_DIR, 'node_modules'), join(dir, 'node_modules'))
  await cp(join('examples', name), dir, {
    recursive: true,
    filter: (path) => !/node_modules/.test(path),
  })
  if (onUnknown === 'allow') {
    await allowUnknown(dir)
    await renameProxyToMiddleware(dir)
  }
  const { build, start } = JSON.parse(await readFile(join(dir, 'package.json'), 'utf8')).scripts
  if (build !== undefined) {
    const [executable, args] = readCommand(build)
    await promisify(execFile)(executable, args, { cwd: dir, env: childEnv({}) })
  }
  return {
    start: (env) => startProcess(dir, { command: start, env }),
    remove: () => rm(dir, { recursive: true }),
  }
}

/** Replaces `onUnknown: 'deny'` by `onUnknown: 'allow'`. Throws unless it occurs exactly once. */
async function allowUnknown(dir: string): Promise<void> {
  let occurrences = 0
  for (const entry of await readdir(dir, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const file = join(entry.parentPath, entry.name)
    const parts = (await readFile(file, 'utf8')).split(DENY_UNKNOWN)
    if (parts.length > 1) await writeFile(file, parts.join("onUnknown: 'allow'"))
    occurrences += parts.length - 1
  }
  if (occurrences !== 1) {
    throw new Error(`the example has ${DENY_UNKNOWN} ${occurrences} times`)
  }
}

/**
 * Renames the file `proxy.ts` of an example for Next to `middleware.ts`. Next before release 16 and the edge
 * runtime of Next 16 read only `middleware.ts`. Only the copies with `onUnknown: 'allow'` have a middleware, so that
 * tests run both files.
 */
async function renameProxyToMiddleware(dir: string): Promise<void> {
  const code = await readFile(join(dir, 'proxy.ts'), 'utf8').catch(() => null)
  if (code === null) return
  await rm(join(dir, 'proxy.ts'))
  await writeFile(
    join(dir, 'middleware.ts'),
    code.replace('function proxy(', 'function middleware('),
  )
}

/** Starts a program, and waits until the program prints its URL. */
async function startProcess(
  dir: string,
  { command, env }: { command: string; env: Record<string, string> },
): Promise<ProtectedServer> {
  const [executable, args] = readCommand(command)
  const child = spawn(executable, args, {
    cwd: dir,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: childEnv(env),
  })
  let output = ''
  child.stderr.on('data', (data) => {
    output += data
  })
  const exited = new Promise<void>((resolve) => child.once('close', () => resolve()))
  const url = await new Promise<string>((resolve, reject) => {
    createInterface(child.stdout).on('line', (line) => {
      output += `${line}\n`
      const [, listeningUrl] =
        /^(?:listening on|- Local:) +(http:\/\/127\.0\.0\.1:\d+)$/.exec(line) ?? []
      if (listeningUrl !== undefined) resolve(listeningUrl)
    })
    child.once('error', reject)
    exited.then(() => reject(new Error(`${command} in ${dir} exited:\n${output}`)))
  })
  return {
    url,
    async close() {
      child.kill('SIGKILL')
      await exited
    },
  }
}

/** Splits a script of `package.json` into the program and its arguments. */
function readCommand(script: string): [executable: string, args: string[]] {
  const [program = '', ...args] = script.split(' ')
  return [program === 'node' ? process.execPath : program, args]
}

/** Returns the environment of an example: `env`, and what every example needs. */
function childEnv(env: Record<string, string>): NodeJS.ProcessEnv {
  const bin = join(INSTALLED_DIR, 'node_modules', '.bin')
  return {
    PATH: `${bin}${delimiter}${process.env.PATH}`,
    NODE_ENV: 'production',
    NEXT_TELEMETRY_DISABLED: '1',
    ...env,
  }
}
