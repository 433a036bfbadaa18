import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { loadEnvFile } from '../../src/config/load-env-file.js'

let directory: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'last-logout-env-file-'))
})
afterEach(() => rm(directory, { recursive: true }))

/** Returns the variables `env` with those of `.env`. */
function load(env: Record<string, string>): Record<string, string | undefined> {
  const result = { ...env }
  loadEnvFile(result, directory)
  return result
}

test('a variable of the environment takes precedence over .env, unless it is empty', async () => {
  await writeFile(join(directory, '.env'), 'A=1\nB=2\nC="3 # 4"\n')
  expect(load({ A: '', B: 'environment', D: '' })).toEqual({
    A: '1',
    B: 'environment',
    C: '3 # 4',
    D: '',
  })
})

test('a byte order mark at the beginning of .env is not a part of the first name', async () => {
  await writeFile(join(directory, '.env'), '\uFEFFA=1\nB=2\n')
  expect(load({})).toEqual({ A: '1', B: '2' })
})

test('without .env, the environment stays as it is, also if .env is a symbolic link to nothing', async () => {
  expect(load({ A: '1' })).toEqual({ A: '1' })
  await symlink(join(directory, 'missing'), join(directory, '.env'))
  expect(load({ A: '1' })).toEqual({ A: '1' })
})

test('an .env that cannot be read is an invalid configuration, and the message contains the cause', async () => {
  await mkdir(join(directory, '.env'))
  expect(() => load({})).toThrow(
    expect.objectContaining({
      code: 'CONFIGURATION',
      message: expect.stringContaining(`${join(directory, '.env')} cannot be read (EISDIR): `),
    }),
  )
})
