import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'

test('no field of the schema that is a date or time can be read by the client', async () => {
  const schema = await readFile(new URL('../../prisma/schema.prisma', import.meta.url), 'utf8')
  const fields = schema.split('\n').filter((line) => /^\s+\w+\s+DateTime\b/.test(line))
  expect(fields.length).toBeGreaterThan(10)
  // The driver drops the offset of what it reads.
  expect(fields.filter((line) => !/\s@ignore\b/.test(line))).toEqual([])
})
