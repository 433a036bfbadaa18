import { existsSync } from 'node:fs'
import * as fs from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'

/**
 * Copies the package with the PostgreSQL programs to a directory that every user can read. Later starts use the same
 * copy. If a file of the copy is missing, replaces the copy: some systems delete files in the temporary directory that
 * were not used for days.
 */
export async function copyPackage(packageDirectory: string, version: string): Promise<string> {
  const source = join(packageDirectory, 'native')
  const copy = join(tmpdir(), `last-logout-postgres-${version}-${process.geteuid?.()}`)
  const isUsable = async () => (await isOwned(copy)) && (await isComplete(copy, source))
  if (await isUsable()) return copy
  const draft = await fs.mkdtemp(`${copy}-`)
  try {
    const native = join(draft, 'native')
    await fs.cp(source, native, { recursive: true, verbatimSymlinks: true })
    await makeReadable(draft)
    if ((await isOwned(copy)) && !(await isUsable())) {
      await fs.rename(copy, join(draft, 'incomplete'))
    }
    await fs.rename(draft, copy)
    await fs.rm(join(copy, 'incomplete'), { recursive: true, force: true })
  } catch (error) {
    await fs.rm(draft, { recursive: true, force: true })
    // Another start can have created the copy first. Every user can write to the parent directory, so a copy that
    // another user created is not used.
    if (!(await isUsable())) throw error
  }
  return copy
}

async function isComplete(copy: string, source: string): Promise<boolean> {
  const names = await fs.readdir(join(copy, 'native'), { recursive: true }).catch(() => [])
  const copied = new Set(names)
  return (await fs.readdir(source, { recursive: true })).every((name) => copied.has(name))
}

/** Whether this user owns the directory, and no other user can write to it. */
async function isOwned(directory: string): Promise<boolean> {
  if (!existsSync(directory)) return false
  const stats = await fs.lstat(directory)
  return stats.isDirectory() && stats.uid === process.geteuid?.() && (stats.mode & 0o022) === 0
}

async function makeReadable(directory: string): Promise<void> {
  const entries = await fs.readdir(directory, { recursive: true, withFileTypes: true })
  for (const entry of entries.filter((each) => !each.isSymbolicLink())) {
    await fs.chmod(join(entry.parentPath, entry.name), 0o755)
  }
  await fs.chmod(directory, 0o755)
}
