import { accessSync, constants, mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const MEMORY = '/dev/shm'

/** The maximum size of the databases of a test run, in bytes. */
const MIN_FREE_BYTES = 2 * 1024 ** 3

/**
 * Finds the directory for the files of the tests. It is in memory where that is possible: on a disk,
 * creating and dropping a database takes ten times as long.
 */
export function findScratchDirectory(): string {
  try {
    const { bavail, bsize } = statfsSync(MEMORY)
    return bavail * bsize >= MIN_FREE_BYTES && allowsPrograms(MEMORY) ? MEMORY : tmpdir()
  } catch {
    // The directory does not exist outside Linux, or is not writable.
    return tmpdir()
  }
}

/** Whether programs can run there, as the embedded PostgreSQL must. Containers often mount it `noexec`. */
function allowsPrograms(directory: string): boolean {
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
