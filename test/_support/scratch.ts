import { accessSync, constants, mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const MEMORY_DIRECTORY = '/dev/shm'

/** The free space that the directory must have, in bytes. The databases of a test run need less. */
const MIN_FREE_BYTES = 2 * 1024 ** 3

/**
 * Finds the directory for the files of the tests. Prefers a directory in memory, because creating and dropping a database
 * takes ten times as long on a disk.
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

/** Returns whether programs in a directory can be run. Containers often mount `/dev/shm` as `noexec`. */
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
