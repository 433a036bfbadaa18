import { execFile } from 'node:child_process'
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'

/** Options of {@link runShell}. */
export interface ShellOptions {
  cwd: string
  /** Programs that need a server or change the machine. They do not run. Their calls are recorded. */
  recordedPrograms?: string[]
  /** The standard input. Default: empty. */
  input?: string
}

/**
 * Runs the lines of a shell example.
 *
 * @returns The calls of `recordedPrograms`, such as `systemctl restart last-logout`.
 * @throws `Error` if a line fails.
 */
export async function runShell(
  code: string,
  { cwd, recordedPrograms = [], input = '' }: ShellOptions,
): Promise<string[]> {
  const programsDir = await mkdtemp(join(tmpdir(), 'recorded-'))
  const callsFile = join(programsDir, 'calls')
  try {
    await writeFile(callsFile, '')
    for (const name of recordedPrograms) {
      const program = join(programsDir, name)
      await writeFile(program, `#!/bin/sh\necho "${name} $*" >> '${callsFile}'\n`)
      await chmod(program, 0o755)
    }
    const PATH = [programsDir, process.env.PATH].join(delimiter)
    const running = promisify(execFile)('sh', ['-ec', code], { cwd, env: { ...process.env, PATH } })
    // If the shell exits before it has read the input, the stream emits an error.
    running.child.stdin?.on('error', () => {})
    running.child.stdin?.end(input)
    await running
    return (await readFile(callsFile, 'utf8')).split('\n').filter(Boolean)
  } finally {
    await rm(programsDir, { recursive: true })
  }
}
