import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { tmpdir } from 'node:os'

/** A command that runs. */
export interface RunningCommand {
  /** What it has written so far, to standard output and standard error. */
  output(): string
  stdout(): string
  stderr(): string
  kill(signal: NodeJS.Signals): void
  /** Reads nothing more of its standard output: what it writes from now on fails. */
  closeOutput(): void
  /** Resolves to the exit code; `null` after a signal that it did not handle. */
  exited: Promise<number | null>
}

/** Where a command runs, and what it reads. */
interface CommandOptions {
  /** Default: where there is no `.env`. */
  cwd?: string
  /** Standard input. Default: empty. */
  input?: string
}

/** Runs the program as it is built, with this environment and no other. */
export function runCommand(
  args: string[],
  env: Record<string, string> = {},
  { cwd = tmpdir(), input = '' }: CommandOptions = {},
): RunningCommand {
  const main = new URL('../../dist/main.js', import.meta.url).pathname
  const child = spawn(process.execPath, [main, ...args], {
    env: { PATH: process.env.PATH, ...env },
    cwd,
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  // A command may end before it has read all of it.
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
    output: () => written.stdout + written.stderr,
    stdout: () => written.stdout,
    stderr: () => written.stderr,
    kill: (signal) => void child.kill(signal),
    closeOutput: () => void child.stdout.destroy(),
    exited: once(child, 'close').then(([code]) => code as number | null),
  }
}

/** Runs the program to its end. */
export async function finishCommand(
  args: string[],
  env: Record<string, string> = {},
  options: CommandOptions = {},
) {
  const command = runCommand(args, env, options)
  const code = await command.exited
  return { code, stdout: command.stdout(), stderr: command.stderr() }
}
