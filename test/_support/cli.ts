import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { tmpdir } from 'node:os'

/** A running command. */
export interface RunningCommand {
  pid: number
  /** Returns all text of standard output so far, followed by all text of standard error. */
  output(): string
  stdout(): string
  stderr(): string
  kill(signal: NodeJS.Signals): void
  /** Closes the reading end of standard output. Later writes of the command fail with EPIPE. */
  closeOutput(): void
  /** Resolves to the exit code, or to `null` if a signal ended the command. */
  exited: Promise<number | null>
}

/** Options of a command. */
interface CommandOptions {
  /** The working directory. Default: a directory without a `.env`. */
  cwd?: string
  /** Standard input. Default: empty. */
  input?: string
  /** The maximum number of open files. Default: the limit of this process. Needs the program `prlimit`. */
  maxOpenFiles?: number
  /** The script. Default: the built program. */
  script?: string
  /** The path of Node.js. Default: the Node.js of this process. */
  node?: string
}

const BUILT_PROGRAM = new URL('../../dist/main.js', import.meta.url).pathname

/** Starts the program in a new process. The process gets only the variables in `env`, and `PATH`. */
export function runCommand(
  args: string[],
  env: Record<string, string> = {},
  options: CommandOptions = {},
): RunningCommand {
  const { cwd = tmpdir(), input = '', maxOpenFiles } = options
  const { script = BUILT_PROGRAM, node = process.execPath } = options
  const launcher = maxOpenFiles === undefined ? [] : ['prlimit', `--nofile=${maxOpenFiles}`]
  const [executable = '', ...allArgs] = [...launcher, node, script, ...args]
  const child = spawn(executable, allArgs, {
    env: { PATH: process.env.PATH, ...env },
    cwd,
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  // If the command exits before it has read all input, the stream emits an error.
  child.stdin.on('error', () => {})
  child.stdin.end(input)
  const written = { stdout: '', stderr: '' }
  child.stdout.on('data', (chunk) => {
    written.stdout += chunk
  })
  child.stderr.on('data', (chunk) => {
    written.stderr += chunk
  })
  return {
    pid: child.pid ?? Number.NaN,
    output: () => written.stdout + written.stderr,
    stdout: () => written.stdout,
    stderr: () => written.stderr,
    kill: (signal) => void child.kill(signal),
    closeOutput: () => void child.stdout.destroy(),
    exited: once(child, 'close').then(([code]) => code as number | null),
  }
}

/** Runs the program until it exits. */
export async function finishCommand(
  args: string[],
  env: Record<string, string> = {},
  options: CommandOptions = {},
) {
  const command = runCommand(args, env, options)
  const code = await command.exited
  return { code, stdout: command.stdout(), stderr: command.stderr() }
}
