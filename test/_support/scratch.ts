import { accessSync, constants, mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const MEMORY_DIRECTORY = '/dev/shm'

/** Minimum free space of the directory, in bytes. The databases of a test run need less. */
const MIN_FREE_BYTES = 2 * 1024 ** 3

/**
 * Returns the directory for the files of the tests: a directory in memory if possible. On a disk, creating and dropping
 * a database takes ten times as long.
 */
export function findScratchDirectory(): string {
  try {
    const { bavail, bsize } = statfsSync(MEMORY_DIRECTORY)
    return bavail * bsize >= MIN_FREE_BYTES && allowsPrograms(MEMORY_DIRECTORY)
      ? MEMORY_DIRECTORY
      : tmpdir()
  } catch {
    // `/dev/shm` is not writable, or does not exist. It exists only on Linux.
    return tmpdir()
  }
}

/** Whether programs in a directory can be run. Containers often mount `/dev/shm` as `noexec`. */
function allowsPrograms(directory: string): boolean {
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
