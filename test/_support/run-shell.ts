import { execFile } from 'node:child_process'
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'

/** Options of {@link runShell}. */
export interface ShellOptions {
  cwd: string
  /** Programs that need a server or change the machine. Their calls are recorded instead. */
  recorded?: string[]
  /** What is typed. */
  input?: string
}

/**
 * Runs the lines of a shell example.
 *
 * @returns The calls of the recorded programs, each as its name and its arguments.
 * @throws If a line fails.
 */
export async function runShell(
  code: string,
  { cwd, recorded = [], input = '' }: ShellOptions,
): Promise<string[]> {
  const programs = await mkdtemp(join(tmpdir(), 'recorded-'))
  const calls = join(programs, 'calls')
  try {
    await writeFile(calls, '')
    for (const name of recorded) {
      const program = join(programs, name)
      await writeFile(program, `#!/bin/sh\necho "${name} $*" >> '${calls}'\n`)
      await chmod(program, 0o755)
    }
    const PATH = [programs, process.env.PATH].join(delimiter)
    const running = promisify(execFile)('sh', ['-ec', code], { cwd, env: { ...process.env, PATH } })
    // If the shell exits before it has read the input, the stream emits an error.
    running.child.stdin?.on('error', () => {})
    running.child.stdin?.end(input)
    await running
    return (await readFile(calls, 'utf8')).split('\n').filter(Boolean)
  } finally {
    await rm(programs, { recursive: true })
  }
}
