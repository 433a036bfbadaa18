import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'

test('the Prisma client cannot read any date or time field of the schema', async () => {
  const schema = await readFile(new URL('../../prisma/schema.prisma', import.meta.url), 'utf8')
  const fields = schema.split('\n').filter((line) => /^\s+\w+\s+DateTime\b/.test(line))
  expect(fields.length).toBeGreaterThan(10)
  // Prisma's driver adapter ignores the offset of a timestamptz, so it would return wrong instants.
  expect(fields.filter((line) => !/\s@ignore\b/.test(line))).toEqual([])
})
