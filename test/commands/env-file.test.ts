import { mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { writeEnvFile } from '../../src/commands/env-file.js'

let path: string
beforeEach(async () => {
  path = join(await mkdtemp(join(tmpdir(), 'last-logout-env-')), '.env')
})
afterEach(() => rm(join(path, '..'), { recursive: true }))

test('an existing .env is not overwritten', async () => {
  await writeFile(path, 'A=1\n')
  expect(() => writeEnvFile(path, { B: '2' })).toThrow(/It exists/)
  await expect(readFile(path, 'utf8')).resolves.toBe('A=1\n')
})

test('a link without a target is named, because another run of init would find no file either', async () => {
  await symlink(join(path, '..', 'missing'), path)
  expect(() => writeEnvFile(path, { B: '2' })).toThrow(/Remove the link/)
})
