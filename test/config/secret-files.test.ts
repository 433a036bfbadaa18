import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { loadConfig } from '../../src/config/config.js'
import { SECRETS, variables } from '../../src/config/variables.js'
import { hasCode } from '../../src/errors.js'

const KEY = 'k'.repeat(32)

/** A valid value of every secret. */
const VALUES: Record<(typeof SECRETS)[number], string> = {
  AUTH0_CLIENT_SECRET: 'hush',
  HTTPS_PROXY: 'http://user:password@proxy.example:3128',
  DATABASE_URL: 'postgresql://user:password@127.0.0.1:5432/last_logout',
  DATABASE_DIRECT_URL: 'postgresql://user:password@127.0.0.1:5433/last_logout',
  REDIS_URL: 'redis://:password@127.0.0.1:6379',
  API_KEYS: `orders:${KEY}`,
  LOG_STREAM_TOKEN: 't'.repeat(32),
}

const baseEnv = { AUTH0_DOMAIN: 'tenant.eu.auth0.com', AUTH0_CLIENT_ID: 'id' }

let directory: string
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'last-logout-secrets-'))
})
afterAll(() => rm(directory, { recursive: true }))

async function writeSecret(name: string, text: string): Promise<string> {
  const path = join(directory, name)
  await writeFile(path, text)
  return path
}

function load(env: Record<string, string>) {
  return loadConfig({ ...baseEnv, ...env }, ['auth0', 'api', 'database'])
}

function problemsOf(env: Record<string, string>): string[] {
  try {
    load(env)
    return []
  } catch (error) {
    if (!hasCode(error, 'CONFIGURATION')) throw error
    return error.message.split('\n').slice(1, -1)
  }
}

test('every secret can be read from a file, with the same result as from the variable', async () => {
  const files = await Promise.all(
    SECRETS.map(async (name) => [`${name}_FILE`, await writeSecret(name, `${VALUES[name]}\n`)]),
  )
  expect(load(Object.fromEntries(files))).toEqual(load(VALUES))
})

test.each([
  ['no line break', 'hush', 'hush'],
  ['a line break', 'hush\n', 'hush'],
  ['a byte order mark', '\uFEFFhush\n', 'hush'],
  ['a line break of Windows', 'hush\r\n', 'hush'],
  ['two line breaks, where only the second line break is removed', 'hush\n\n', 'hush\n'],
  ['spaces, which belong to the value', ' hush ', ' hush '],
])('loadConfig reads a file that ends with %s', async (_what, text, value) => {
  const path = await writeSecret('secret', text)
  const { AUTH0_CLIENT_SECRET: _, ...others } = VALUES
  const { auth0 } = load({ ...others, AUTH0_CLIENT_SECRET_FILE: path })
  expect(auth0.clientSecret).toBe(value)
})

describe('a file that cannot be used', () => {
  const { DATABASE_URL, ...others } = VALUES

  test('loadConfig reports the path of an unusable file with the reason, and does not report the variable as missing', async () => {
    const missing = join(directory, 'missing')
    expect(problemsOf({ ...others, DATABASE_URL_FILE: missing })).toEqual([
      `  - DATABASE_URL_FILE names ${missing}, which cannot be read (ENOENT): check the path, and that the user of this process may read the file`,
    ])
    expect(problemsOf({ ...others, DATABASE_URL_FILE: directory })).toEqual([
      expect.stringContaining(`names ${directory}, which cannot be read (EISDIR)`),
    ])
    const empty = await writeSecret('empty', '\n')
    expect(problemsOf({ ...others, DATABASE_URL_FILE: empty })).toEqual([
      `  - DATABASE_URL_FILE names ${empty}, which is empty`,
    ])
  })

  test('loadConfig does not print a path that may be the secret itself', () => {
    for (const [name, value] of Object.entries(VALUES)) {
      const { [name]: _, ...others } = VALUES as Record<string, string>
      expect(problemsOf({ ...others, [`${name}_FILE`]: value })).toEqual([
        `  - ${name}_FILE must be the path of a file, such as /run/secrets/name or ./secrets/name`,
      ])
    }
  })

  test('loadConfig reports invalid content of a file together with other problems, and does not print the content', async () => {
    const path = await writeSecret('wrong', 'mysql://user:secret-one@127.0.0.1/x')
    const problems = problemsOf({ ...others, DATABASE_URL_FILE: path, PORT: 'x' })
    expect(problems).toEqual([
      expect.stringMatching(
        /^ {2}- DATABASE_URL \(from DATABASE_URL_FILE\) must be a URL such as postgresql:/,
      ),
      expect.stringMatching(/^ {2}- PORT must be/),
    ])
    expect(problems.join()).not.toContain('secret-one')
  })

  test('loadConfig rejects a secret that is set both as a variable and as a file', async () => {
    const path = await writeSecret('other', DATABASE_URL)
    expect(problemsOf({ ...VALUES, DATABASE_URL_FILE: path })).toEqual([
      '  - DATABASE_URL and DATABASE_URL_FILE are both set: remove one of them',
    ])
    expect(problemsOf({ ...others, DATABASE_URL: '', DATABASE_URL_FILE: path })).toEqual([])
    expect(problemsOf({ ...VALUES, DATABASE_URL_FILE: '' })).toEqual([])
  })
})

test('loadConfig rejects quotation marks around the content of a file', async () => {
  const { API_KEYS, ...others } = VALUES
  const path = await writeSecret('quoted', `"${API_KEYS}"\n`)
  expect(problemsOf({ ...others, API_KEYS_FILE: path })).toEqual([
    expect.stringMatching(
      /^ {2}- API_KEYS \(from API_KEYS_FILE\) begins and ends with a quotation/,
    ),
  ])
})

test('docs/configuration.md lists every variable, and the secrets that can be in files', async () => {
  const page = await readFile('docs/configuration.md', 'utf8')
  const firstCells = [...page.matchAll(/^\| ([^|]*) \|/gm)].map(([, cell = '']) => cell)
  const documented = firstCells.flatMap((cell) =>
    [...cell.matchAll(/`(\w+)`/g)].map(([, name]) => name),
  )
  expect(documented.sort()).toEqual(Object.keys(variables).sort())
  const [, section = ''] = /^## Secrets in files\n([\s\S]*?)^## /m.exec(page) ?? []
  const listed = [...section.matchAll(/`(\w+)_FILE`/g)].map(([, name]) => name)
  expect([...new Set(listed)].sort()).toEqual([...SECRETS].sort())
})
