import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFile, mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { vi } from 'vitest'
import { WAIT } from '../_support/wait.js'

/**
 * Enters a root directory in namespaces of its own, as a container engine does, and runs a program there as PID 1.
 * Debian's programs and npm are those of this machine, and `$node` replaces its Node.js by that of the base image.
 */
const ENTER = `
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
  /** The Node.js of the container. */
  node: string
}

/** A command that runs in a container. */
export interface ContainerCommand {
  args: string[]
  /** The only variables of the environment. */
  env: Record<string, string>
  workdir: string
  /** User and group, as in `1000:1000`. Default: root. */
  user?: string
  isReadOnly?: boolean
}

/** A running container. */
export interface Container {
  /** What the container has written to standard output and standard error. */
  output(): string
  /** Sends a signal to PID 1. */
  kill(signal: NodeJS.Signals): void
  /** Runs a program in the container, as `docker exec` does. Resolves to its exit code and its output. */
  exec(args: string[]): Promise<{ code: number | null; output: string }>
  /** Resolves to the exit code. */
  exited: Promise<number | null>
}

/** Certificates that this machine trusts besides those of Node.js, for a registry behind a proxy. */
const CA_FILE = process.env.NODE_EXTRA_CA_CERTS

/** Variables with which a build step trusts what this machine trusts. */
export const TRUST = CA_FILE ? { NODE_EXTRA_CA_CERTS: '/etc/extra-ca.pem' } : {}

/** Fills an empty directory with what the base image has besides `/usr`: users, and the names of hosts. */
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
  if (CA_FILE) await copyFile(CA_FILE, join(path, TRUST.NODE_EXTRA_CA_CERTS ?? ''))
  return { path, node }
}

/** Starts a container. */
export async function startContainer(root: Root, command: ContainerCommand): Promise<Container> {
  const mode = command.isReadOnly ? 'read-only' : 'read-write'
  const enter = ['/bin/sh', '-c', ENTER, 'sh', root.path, root.node, mode]
  const unshare = ['--pid', '--fork', '--kill-child', '--mount']
  const child = spawn('unshare', [...unshare, '--', ...enter, ...within(command)], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const output = collect(child)
  const exited = once(child, 'close').then(([code]) => code as number | null)
  const pid = await vi.waitFor(async () => {
    if (child.exitCode !== null) throw new Error(output())
    return readChild(child.pid)
  }, WAIT)
  return {
    output,
    exited,
    kill: (signal) => void process.kill(pid, signal),
    async exec(args) {
      const namespaces = ['--target', `${pid}`, '--pid', '--mount', '--root', '--']
      const other = spawn('nsenter', [...namespaces, ...within({ ...command, args })], {
        stdio: ['ignore', 'pipe', 'pipe'],
      })
      const written = collect(other)
      const [code] = await once(other, 'close')
      return { code, output: written() }
    },
  }
}

/** Runs a container until it exits. */
export async function runContainer(root: Root, command: ContainerCommand): Promise<string> {
  const container = await startContainer(root, command)
  const code = await container.exited
  if (code === 0) return container.output()
  throw new Error(`${command.args.join(' ')} exited with ${code}:\n${container.output()}`)
}

/** The command line that drops privileges, clears the environment and changes the directory. */
function within({ args, env, workdir, user }: ContainerCommand): string[] {
  const [uid, gid] = user?.split(':') ?? []
  const drop = ['--clear-groups', '--no-new-privs', '--inh-caps=-all', '--bounding-set=-all']
  const setpriv = uid === undefined ? [] : ['setpriv', `--reuid=${uid}`, `--regid=${gid}`, ...drop]
  const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`)
  // `env` searches for the program in the PATH that it sets.
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

/** Returns the process that `unshare` has forked: PID 1 of the container. */
async function readChild(pid: number | undefined): Promise<number> {
  const [child = ''] = (await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')).split(' ')
  if (child === '') throw new Error('the container has not started')
  return Number(child)
}

function collect(child: ChildProcess): () => string {
  let text = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (chunk) => {
      text += chunk
    })
  }
  return () => text
}
