import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'

test('every DateTime field of the Prisma schema has the attribute @ignore', async () => {
  const schema = await readFile(new URL('../../prisma/schema.prisma', import.meta.url), 'utf8')
  const dateTimeFields = schema.split('\n').filter((line) => /^\s+\w+\s+DateTime\b/.test(line))
  expect(dateTimeFields.length).toBeGreaterThan(10)
  // Prisma's driver adapter drops the offset of a timestamptz, so the Prisma client would return wrong instants. The
  // attribute removes a field from the client.
  expect(dateTimeFields.filter((line) => !/\s@ignore\b/.test(line))).toEqual([])
})
