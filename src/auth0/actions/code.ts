import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'

/** The file that `npm run build:action` writes. */
const FILE = new URL('../../../dist/login-action.cjs', import.meta.url)

/** The beginning of the first line of that file. */
const BANNER = '// The login Action of last-logout '

/** The line that {@link addDigestLine} adds before the banner. */
const DIGEST_LINE = /^\/\/ last-logout deployed this with the secrets [0-9a-f]{16}\n/

/** The secrets of the Action: settings whose values Auth0 never returns. */
export type Secrets = Record<string, string>

/** Reads the built login Action. */
export function readActionFile(): Promise<string> {
  return readFile(FILE, 'utf8')
}

/**
 * Adds a first line with a digest of the secrets. The next deployment compares the digests to detect changed secrets.
 * The secrets include an API key, whose entropy is too high to recover it from the digest.
 */
export function addDigestLine(file: string, secrets: Secrets): string {
  const entries = Object.entries(secrets).sort(([a], [b]) => (a < b ? -1 : 1))
  const digest = createHash('sha256').update(JSON.stringify(entries)).digest('hex')
  return `// last-logout deployed this with the secrets ${digest.slice(0, 16)}\n${file}`
}

/** Removes the line that {@link addDigestLine} added, if any. */
export function removeDigestLine(code: string): string {
  return code.replace(DIGEST_LINE, '')
}

/** Whether the code is a login Action, of any version, deployed by this program or by hand. */
export function isLoginAction(code: string): boolean {
  return removeDigestLine(code).startsWith(BANNER)
}
