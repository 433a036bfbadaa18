import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'

/** What `npm run build:action` makes. */
const FILE = new URL('../../../dist/login-action.cjs', import.meta.url)

/** How the file begins, and how what we make of it does. */
const BANNER = '// The login Action of last-logout '
const STAMP = /^\/\/ last-logout deployed this with the secrets [0-9a-f]{16}\n/

/** Environment variables of the Action, which Auth0 never gives back. */
export type Secrets = Record<string, string>

/** The login Action as it is built. */
export function readActionFile(): Promise<string> {
  return readFile(FILE, 'utf8')
}

/**
 * The file as it is deployed: with a first line from which the next run can tell whether it would
 * deploy other secrets. Nothing leads back from there to an API key, which cannot be guessed.
 */
export function stampCode(file: string, secrets: Secrets): string {
  const entries = Object.entries(secrets).sort(([a], [b]) => (a < b ? -1 : 1))
  const digest = createHash('sha256').update(JSON.stringify(entries)).digest('hex')
  return `// last-logout deployed this with the secrets ${digest.slice(0, 16)}\n${file}`
}

/** What was stamped; the code itself where nothing was. */
export function unstampCode(code: string): string {
  return code.replace(STAMP, '')
}

/** Whether code is a login Action of some version of ours, whoever deployed it. */
export function isLoginAction(code: string): boolean {
  return unstampCode(code).startsWith(BANNER)
}
