import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'

/** The file that `npm run build:action` writes. */
const FILE = new URL('../../../dist/login-action.cjs', import.meta.url)

/** The beginning of the first line of the built file. */
const BANNER = '// The login Action of last-logout '

/** The line that {@link addDigestLine} adds before the banner. */
const DIGEST_LINE = /^\/\/ last-logout deployed this with the secrets [0-9a-f]{16}\n/

/** The secrets of the Action. They are settings whose values Auth0 never returns. */
export type Secrets = Record<string, string>

/** Reads the built login Action. */
export function readActionFile(): Promise<string> {
  return readFile(FILE, 'utf8')
}

/**
 * Adds a first line with a digest of the secrets, from which the next deployment detects changed secrets. The digest
 * does not reveal the secrets, because they include an API key of high entropy.
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

/**
 * Whether the code is the login Action of any version of last-logout. The Action can also have been deployed by hand.
 */
export function isLoginAction(code: string): boolean {
  return removeDigestLine(code).startsWith(BANNER)
}
