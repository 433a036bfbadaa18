import { randomBytes } from 'node:crypto'
import * as fs from 'node:fs/promises'
import { join } from 'node:path'
import type { ProgramUser } from '../child-program.js'
import { codeOf, nullIfMissing, unusableError } from './errors.js'

/** Returns the path of the file with the password of PostgreSQL's superuser. */
export function passwordFile(dataDir: string): string {
  return join(dataDir, 'password')
}

/**
 * Creates the file with the password. Uses `link()`, which never replaces a file. If two processes start at the same
 * time, both use the password of the first process. So the password matches, whichever process creates the cluster.
 *
 * @param draft A directory on the same file system, in which the file is created first.
 * @param user The user who can read the file. `null`: the user of this process.
 */
export async function createPassword(
  dataDir: string,
  draft: string,
  user: ProgramUser | null,
): Promise<void> {
  const file = passwordFile(draft)
  await fs.writeFile(file, randomBytes(24).toString('base64url'), { mode: 0o600, flush: true })
  if (user) await fs.chown(file, user.uid, user.gid)
  await fs.link(file, passwordFile(dataDir)).catch((error) => {
    if (codeOf(error) !== 'EEXIST') throw error
  })
}

/**
 * Reads the password of an existing cluster.
 *
 * @throws `DATA_DIR_UNUSABLE` if the file is missing.
 */
export async function readPassword(dataDir: string): Promise<string> {
  const file = passwordFile(dataDir)
  const password = await nullIfMissing(fs.readFile(file, 'utf8'))
  if (password !== null) return password.trim()
  throw unusableError(
    dataDir,
    `has a database, but ${file} is missing. Restore it from the backup of the database, or set an empty directory.`,
  )
}
