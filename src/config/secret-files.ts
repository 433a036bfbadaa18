import { readFileSync } from 'node:fs'
import { BYTE_ORDER_MARK } from './load-env-file.js'
import { SECRETS } from './variables.js'

/** The environment variables that are set to a value that is not empty. */
export type GivenVariables = Record<string, string | undefined>

/** The variables after secrets were read from files. */
interface GivenSettings {
  /**
   * The variables. If the file of a variable cannot be used, the value is `undefined`, so that the variable is not
   * reported as missing.
   */
  given: GivenVariables
  /** The names of the variables whose values come from files. */
  fromFile: ReadonlySet<string>
  problems: string[]
}

/**
 * Replaces each variable such as `DATABASE_URL_FILE`, which contains a path, by the variable `DATABASE_URL` with the
 * content of that file. Container engines and systemd pass secrets in files, because child processes inherit the
 * environment, and the engine's tools show it.
 */
export function readSecretFiles(env: GivenVariables): GivenSettings {
  const given = { ...env }
  const fromFile = new Set<string>()
  const problems: string[] = []
  for (const name of SECRETS) {
    const variable = `${name}_FILE`
    const path = given[variable]
    if (path === undefined) continue
    delete given[variable]
    if (given[name] !== undefined) {
      problems.push(`${name} and ${variable} are both set: remove one of them`)
      continue
    }
    const { text, problem } = readSecret(path)
    given[name] = text
    fromFile.add(name)
    if (problem !== undefined) problems.push(`${variable} ${problem}`)
  }
  return { given, fromFile, problems }
}

/** Reads a file. Removes a byte order mark, and the last line break, which editors and `echo` add. */
function readSecret(path: string): { text?: string; problem?: string } {
  try {
    const text = readFileSync(path, 'utf8')
      .replace(BYTE_ORDER_MARK, '')
      .replace(/\r?\n$/, '')
    return text === '' ? { problem: `names ${path}, which is empty` } : { text }
  } catch (error) {
    // The value may be the secret instead of a path, so it must not be printed.
    if (!/^\.{0,2}\//.test(path)) {
      return { problem: 'must be the path of a file, such as /run/secrets/name or ./secrets/name' }
    }
    const { code } = error as NodeJS.ErrnoException
    return {
      problem: `names ${path}, which cannot be read (${code}): check the path, and that the user of this process may read the file`,
    }
  }
}
