import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'

/** The output of `npm run build:action`. */
const FILE = new URL('../../../dist/login-action.cjs', import.meta.url)

/** The first line of the file, and the line that {@link stampCode} puts before it. */
const BANNER = '// The login Action of last-logout '
const STAMP = /^\/\/ last-logout deployed this with the secrets [0-9a-f]{16}\n/

/** Secrets of the Action: environment variables whose values Auth0 never returns. */
export type Secrets = Record<string, string>

/** Reads the built login Action. */
export function readActionFile(): Promise<string> {
  return readFile(FILE, 'utf8')
}

/**
 * Adds a first line with a digest of the secrets, by which the next run detects that they differ. An API key
 * has too much entropy to be recovered from it.
 */
export function stampCode(file: string, secrets: Secrets): string {
  const entries = Object.entries(secrets).sort(([a], [b]) => (a < b ? -1 : 1))
  const digest = createHash('sha256').update(JSON.stringify(entries)).digest('hex')
  return `// last-logout deployed this with the secrets ${digest.slice(0, 16)}\n${file}`
}

/** Removes the line that {@link stampCode} added, if any. */
export function unstampCode(code: string): string {
  return code.replace(STAMP, '')
}

/** Whether the code is the login Action of any version, deployed by this program or by hand. */
export function isLoginAction(code: string): boolean {
  return unstampCode(code).startsWith(BANNER)
}
