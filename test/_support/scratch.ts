import { accessSync, constants, mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const MEMORY_DIRECTORY = '/dev/shm'

/** The free space that a directory in memory must have, in bytes. The databases of a test run need less. */
const MIN_FREE_BYTES = 2 * 1024 ** 3

/**
 * Returns the directory for temporary files of the tests. If possible, it is in memory. On a disk, PostgreSQL needs ten
 * times as long to create and drop a database.
 */
export function findScratchDirectory(): string {
  try {
    const { bavail, bsize } = statfsSync(MEMORY_DIRECTORY)
    return bavail * bsize >= MIN_FREE_BYTES && canRunPrograms(MEMORY_DIRECTORY)
      ? MEMORY_DIRECTORY
      : tmpdir()
  } catch {
    // `/dev/shm` is not writable, or does not exist. It exists only on Linux.
    return tmpdir()
  }
}

/** Whether programs in a directory can run. Containers often mount `/dev/shm` with `noexec`, which forbids it. */
function canRunPrograms(directory: string): boolean {
  const subdirectory = mkdtempSync(join(directory, 'last-logout-'))
  try {
    const program = join(subdirectory, 'program')
    writeFileSync(program, '', { mode: 0o755 })
    accessSync(program, constants.X_OK)
    return true
  } catch {
    return false
  } finally {
    rmSync(subdirectory, { recursive: true })
  }
}
