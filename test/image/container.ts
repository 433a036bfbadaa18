import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFile, mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { vi } from 'vitest'
import { WAIT } from '../_support/wait.js'

/**
 * A shell script that makes a directory the root, and runs a command there. `unshare` runs the script as PID 1 of new
 * namespaces, as a container engine does.
 *
 * The root directory has no programs: the script mounts `/usr` of this machine there, with Debian's programs and npm. In
 * the place of this machine's Node.js, it mounts the file `$node`.
 */
const ENTER_ROOT = `
set -e
root=$1 node=$2 mode=$3
shift 3
PATH=/usr/local/bin:/usr/bin:/usr/sbin:/bin:/sbin
mount --make-rprivate /
mount --bind "$root" "$root"
mount -o bind,ro /usr "$root/usr"
mount --bind "$node" "$root$(command -v node)"
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
[ "$mode" = read-write ] || mount -o remount,bind,ro "$root"
exec chroot "$root" "$@"`

/** A directory that is the root of containers. */
export interface Root {
  path: string
  /** The path of the Node.js that containers run. */
  node: string
}

/** A command that runs in a container. */
export interface ContainerCommand {
  args: string[]
  /** All variables of the environment. */
  env: Record<string, string>
  workdir: string
  /** User and group, as in `1000:1000`. Default: root. */
  user?: string
  /** Whether the root directory is read-only. Default: false. */
  isReadOnly?: boolean
}

/** A running container. */
export interface Container {
  /** Returns everything that the container has written to standard output and standard error so far. */
  output(): string
  /** Sends a signal to PID 1. */
  kill(signal: NodeJS.Signals): void
  /** Runs a program in the container, as `docker exec` does. Resolves to its exit code and its output. */
  exec(args: string[]): Promise<{ code: number | null; output: string }>
  /** Resolves to the exit code, or to `null` if a signal ended the container. */
  exited: Promise<number | null>
}

/** A file with more certificates that this machine trusts. A machine behind a proxy needs it for npm's registry. */
const CA_FILE = process.env.NODE_EXTRA_CA_CERTS

/** Variables of a build step. With them, npm trusts the certificates in {@link CA_FILE}. */
export const CA_ENV = CA_FILE ? { NODE_EXTRA_CA_CERTS: '/etc/extra-ca.pem' } : {}

/** Creates the root directory of an image: everything that the base image has, except for the files in `/usr`. */
export async function createRoot(path: string, node: string): Promise<Root> {
  for (const name of ['app', 'dev', 'etc', 'proc', 'root', 'tmp', 'usr', 'run/secrets']) {
    await mkdir(join(path, name), { recursive: true })
  }
  for (const name of ['bin', 'lib', 'lib64', 'sbin']) await symlink(`usr/${name}`, join(path, name))
  await writeFile(
    join(path, 'etc/passwd'),
    'root:x:0:0:root:/root:/bin/sh\nnode:x:1000:1000::/home/node:/bin/sh\n',
  )
  for (const name of ['hosts', 'nsswitch.conf', 'resolv.conf']) {
    await copyFile(join('/etc', name), join(path, 'etc', name))
  }
  if (CA_FILE) await copyFile(CA_FILE, join(path, CA_ENV.NODE_EXTRA_CA_CERTS ?? ''))
  return { path, node }
}

/** Starts a container. Resolves when PID 1 has started. */
export async function startContainer(root: Root, command: ContainerCommand): Promise<Container> {
  const mode = command.isReadOnly ? 'read-only' : 'read-write'
  const enter = ['/bin/sh', '-c', ENTER_ROOT, 'sh', root.path, root.node, mode]
  const unshare = ['--pid', '--fork', '--kill-child', '--mount']
  const child = spawn('unshare', [...unshare, '--', ...enter, ...toCommandLine(command)], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const output = collectOutput(child)
  const exited = once(child, 'close').then(([code]) => code as number | null)
  const pid = await vi.waitFor(async () => {
    if (child.exitCode !== null) throw new Error(output())
    return readInitPid(child.pid)
  }, WAIT)
  return {
    output,
    exited,
    kill: (signal) => void process.kill(pid, signal),
    async exec(args) {
      const namespaces = ['--target', `${pid}`, '--pid', '--mount', '--root', '--']
      const program = spawn('nsenter', [...namespaces, ...toCommandLine({ ...command, args })], {
        stdio: ['ignore', 'pipe', 'pipe'],
      })
      const programOutput = collectOutput(program)
      const [code] = await once(program, 'close')
      return { code, output: programOutput() }
    },
  }
}

/**
 * Runs a container until it exits. Returns its output.
 *
 * @throws `Error` for any exit code other than 0.
 */
export async function runContainer(root: Root, command: ContainerCommand): Promise<string> {
  const container = await startContainer(root, command)
  const code = await container.exited
  if (code === 0) return container.output()
  throw new Error(`${command.args.join(' ')} exited with ${code}:\n${container.output()}`)
}

/** Returns a command line that sets the environment, the directory and the user of a command, and then runs it. */
function toCommandLine({ args, env, workdir, user }: ContainerCommand): string[] {
  const [uid, gid] = user?.split(':') ?? []
  const noPrivileges = [
    '--clear-groups',
    '--no-new-privs',
    '--inh-caps=-all',
    '--bounding-set=-all',
  ]
  const setpriv =
    uid === undefined ? [] : ['setpriv', `--reuid=${uid}`, `--regid=${gid}`, ...noPrivileges]
  const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`)
  // The first `env` clears the environment. The second `env` sets the variables, and finds the program in their PATH.
  return [
    '/usr/bin/env',
    '-i',
    `--chdir=${workdir}`,
    ...setpriv,
    '/usr/bin/env',
    ...variables,
    ...args,
  ]
}

/** Returns the id of PID 1 of the container, as this machine sees it: the process that `unshare` has forked. */
async function readInitPid(pid: number | undefined): Promise<number> {
  const [child = ''] = (await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')).split(' ')
  if (child === '') throw new Error('the container has not started')
  return Number(child)
}

/** Collects the output of a process. Returns a function that returns the output so far. */
function collectOutput(child: ChildProcess): () => string {
  let text = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (chunk) => {
      text += chunk
    })
  }
  return () => text
}
