import { existsSync } from 'node:fs'
import * as fs from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'

/** Copies the package to a directory that every user can reach. Later starts use the same copy. */
export async function copyPackage(installed: string, version: string): Promise<string> {
  const copy = join(tmpdir(), `last-logout-postgres-${version}-${process.geteuid?.()}`)
  if (await isOwned(copy)) return copy
  const draft = await fs.mkdtemp(`${copy}-`)
  const native = join(draft, 'native')
  try {
    await fs.cp(join(installed, 'native'), native, { recursive: true, verbatimSymlinks: true })
    await makeReadable(draft)
    await fs.rename(draft, copy)
  } catch (error) {
    await fs.rm(draft, { recursive: true, force: true })
    // Another start of this program can have created the copy first. So can another user, since every user can write
    // to the parent directory: a copy of another user is not used.
    if (!(await isOwned(copy))) throw error
  }
  return copy
}

async function isOwned(directory: string): Promise<boolean> {
  if (!existsSync(directory)) return false
  const found = await fs.lstat(directory)
  return found.isDirectory() && found.uid === process.geteuid?.() && (found.mode & 0o022) === 0
}

async function makeReadable(directory: string): Promise<void> {
  const entries = await fs.readdir(directory, { recursive: true, withFileTypes: true })
  for (const entry of entries.filter((found) => !found.isSymbolicLink())) {
    await fs.chmod(join(entry.parentPath, entry.name), 0o755)
  }
  await fs.chmod(directory, 0o755)
}
