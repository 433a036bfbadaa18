import { type ChildProcess, fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, readFile, readlink } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import type { Closers } from '../src/async/closers.js'
import type { TenantMessage } from './messages.js'

/** How the processes of a soak end. */
export interface ProcessHandlers {
  /** Receives one function for each process. The function ends the process. */
  closers: Closers
  /** Called if a process exits before `closers` are called. */
  onUnexpectedExit(error: Error): void
}

/** The URL and the process id of the service. */
interface ServiceProcess {
  url: string
  pid: number
}

/** The number of the level `warn` in a log line of pino. */
const WARN_LEVEL = 40

/** Runs the built `last-logout start`. Prints the warnings and errors that the service logs. */
export async function startService(
  env: Record<string, string>,
  { closers, onUnexpectedExit }: ProcessHandlers,
): Promise<ServiceProcess> {
  const main = new URL('../dist/main.js', import.meta.url).pathname
  const child = spawn(process.execPath, [main, 'start'], {
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let isEnding = false
  closers.push(() => {
    isEnding = true
    return endProcess(child, 'SIGTERM')
  })
  const lines = createInterface({ input: child.stdout })
  const url = await new Promise<string>((resolve, reject) => {
    child.once('exit', (code) => {
      const error = new Error(`last-logout start exited with ${code}`)
      reject(error)
      if (!isEnding) onUnexpectedExit(error)
    })
    lines.on('line', (line) => {
      const { level, msg, url } = JSON.parse(line)
      if (level >= WARN_LEVEL) console.log(line)
      if (msg === 'serving') resolve(url)
    })
  })
  return { url, pid: child.pid ?? 0 }
}

/** Runs a file of this directory in its own process until `closers` are called. */
export function startProcess(
  file: string,
  args: (string | number)[],
  { closers, onUnexpectedExit }: ProcessHandlers,
): ChildProcess {
  // At Ctrl-C, the terminal would end a child that is not detached, and this would count as an unexpected exit.
  const child = fork(new URL(`./${file}`, import.meta.url), args.map(String), { detached: true })
  let isEnding = false
  closers.push(() => {
    isEnding = true
    return endProcess(child, 'SIGKILL')
  })
  child.once('exit', (code, signalName) => {
    if (!isEnding) onUnexpectedExit(new Error(`${file} exited with ${code ?? signalName}`))
  })
  return child
}

/** Waits for the next message of `kind`, and returns it. */
export function nextMessage<Kind extends TenantMessage['kind']>(
  child: ChildProcess,
  kind: Kind,
  signal: AbortSignal,
): Promise<Extract<TenantMessage, { kind: Kind }>> {
  return new Promise((resolve, reject) => {
    const onMessage = (message: TenantMessage) => {
      if (message.kind !== kind) return
      child.off('message', onMessage)
      signal.removeEventListener('abort', onAbort)
      resolve(message as Extract<TenantMessage, { kind: Kind }>)
    }
    const onAbort = () => reject(signal.reason)
    child.on('message', onMessage)
    signal.addEventListener('abort', onAbort)
  })
}

/** Reads the resident memory and the number of open sockets of a process from /proc. */
export async function readProcess(pid: number): Promise<{ rssMiB: number; sockets: number }> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  const [, kb = ''] = /^VmRSS:\s+(\d+) kB/m.exec(status) ?? []
  const files = await readdir(`/proc/${pid}/fd`)
  // If a file is closed after `readdir`, `readlink` fails.
  const targets = files.map((file) => readlink(`/proc/${pid}/fd/${file}`).catch(() => ''))
  const openTargets = await Promise.all(targets)
  return {
    rssMiB: Number(kb) / 1_024,
    sockets: openTargets.filter((target) => target.startsWith('socket:')).length,
  }
}

async function endProcess(child: ChildProcess, signalName: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill(signalName)
  await exited
}
