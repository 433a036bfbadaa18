import { accessSync, constants, mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const MEMORY = '/dev/shm'

/** What the databases of a run need at most, in bytes. */
const MIN_FREE_BYTES = 2 * 1024 ** 3

/**
 * Where tests keep their files: in memory where that is possible, since creating and dropping a database
 * on a disk takes ten times as long.
 */
export function findScratchDirectory(): string {
  try {
    const { bavail, bsize } = statfsSync(MEMORY)
    return bavail * bsize >= MIN_FREE_BYTES && mayRunPrograms(MEMORY) ? MEMORY : tmpdir()
  } catch {
    // Not Linux, or not allowed.
    return tmpdir()
  }
}

/** A container often has it mounted `noexec`; the embedded PostgreSQL is a program. */
function mayRunPrograms(directory: string): boolean {
  const own = mkdtempSync(join(directory, 'last-logout-'))
  try {
    const program = join(own, 'program')
    writeFileSync(program, '', { mode: 0o755 })
    accessSync(program, constants.X_OK)
    return true
  } catch {
    return false
  } finally {
    rmSync(own, { recursive: true })
  }
}
