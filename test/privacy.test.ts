import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'

const schema = await readFile('prisma/schema.prisma', 'utf8')
const page = await readFile('docs/privacy.md', 'utf8')

/** The columns of each table, read from the schema. */
const columnsOfSchema = Object.fromEntries(
  [...schema.matchAll(/^model \w+ \{\n([\s\S]*?)^\}/gm)].map(([, body = '']) => [
    /@@map\("(\w+)"\)/.exec(body)?.[1],
    [...body.matchAll(/^ {2}(\w+) +\w.*$/gm)]
      .map(([line, name]) => /@map\("(\w+)"\)/.exec(line)?.[1] ?? name)
      .sort(),
  ]),
)

/**
 * The columns of each table, read from the page. A heading names the table, and the first cells below name its columns.
 */
const columnsOfPage = Object.fromEntries(
  [...page.matchAll(/^### `(\w+)`\n([\s\S]*?)(?=^#)/gm)].map(([, table = '', section = '']) => [
    table,
    [...section.matchAll(/^\| (`[^|]*) \|/gm)]
      .flatMap(([, cell = '']) => [...cell.matchAll(/`(\w+)`/g)].map(([, name]) => name))
      .sort(),
  ]),
)

test('docs/privacy.md names every table and column of the schema, and no other', () => {
  expect(Object.keys(columnsOfSchema)).toHaveLength(6)
  expect(Object.values(columnsOfSchema).flat().length).toBeGreaterThan(40)
  expect(columnsOfPage).toEqual(columnsOfSchema)
})

test('docs/privacy.md states for each column whether it is personal', () => {
  const rows = [...page.matchAll(/^\| `\w+`[^|]*\|([^|]+)\|([^|]+)\|$/gm)]
  expect(rows.length).toBeGreaterThan(25)
  for (const [row, , personal = ''] of rows)
    expect(personal.trim(), row).toMatch(/^(yes|no|hardly)/)
})
