import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { LastLogoutError } from '../errors.js'

const IGNORE_LINE = "printf '.env\\ndata/\\n' >> .gitignore"

/** Creates the value of `API_KEYS`, with one key for each caller that the documents describe. */
export function createApiKeys(): string {
  const callers = ['action read', 'orders-api feed+read', 'cli check+read', 'operator read+metrics']
  return callers.map((caller) => caller.replace(' ', `:${createApiKey()}:`)).join(',')
}

/** Creates an API key. */
export function createApiKey(): string {
  return randomBytes(24).toString('hex')
}

/**
 * Writes `.env` with permissions for its owner alone. The write is synchronous, so that no signal can interrupt it.
 *
 * @throws `USAGE` if the file exists or cannot be written.
 */
export function writeEnvFile(path: string, values: Record<string, string>): void {
  const lines = Object.entries(values).map(([name, value]) => `${name}=${value}\n`)
  try {
    writeFileSync(path, lines.join(''), { flag: 'wx', mode: 0o600 })
  } catch (error) {
    const isExisting = Object(error).code === 'EEXIST'
    if (!isExisting) rmSync(path, { force: true })
    const advice = isExisting
      ? existsSync(path)
        ? 'It exists, and is not overwritten. To continue with it, run `last-logout init` again.'
        : 'It is a link to a file that does not exist. Remove the link, then run `last-logout init` again.'
      : 'Check the permissions and the free space of the directory, then run `last-logout init` again.'
    const { code = 'unknown error' } = Object(error) as { code?: string }
    throw new LastLogoutError('USAGE', `${path} cannot be written (${code}). ${advice}`, {
      cause: error,
    })
  }
}

/**
 * Checks that git ignores `.env` in this directory.
 *
 * @throws `USAGE` if git does not ignore the file, or if the check fails in a working tree of git.
 */
export async function assertNotTracked(cwd: string): Promise<void> {
  if (!isInWorkTree(cwd)) return
  const failure = await promisify(execFile)('git', ['check-ignore', '--quiet', '.env'], {
    cwd,
  }).then(
    () => null,
    (error: { code?: unknown }) => error,
  )
  if (failure === null) return
  const message =
    failure.code === 1
      ? `git would track .env in ${cwd}, and a commit would publish its secrets. Run \`${IGNORE_LINE}\` there; if .env is already tracked, also \`git rm --cached .env\`. Then run \`last-logout init\` again.`
      : `Whether git would track .env in ${cwd} cannot be checked: \`git check-ignore .env\` failed (${String(failure.code)}). Correct that, then run \`last-logout init\` again.`
  throw new LastLogoutError('USAGE', message)
}

function isInWorkTree(directory: string): boolean {
  if (existsSync(join(directory, '.git'))) return true
  const parent = dirname(directory)
  return parent !== directory && isInWorkTree(parent)
}
