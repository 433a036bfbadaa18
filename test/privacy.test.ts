import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'

// docs/privacy.md lists every column of the database, and whether its values are personal data.

const schema = await readFile('prisma/schema.prisma', 'utf8')
const document = await readFile('docs/privacy.md', 'utf8')

/**
 * The columns of each table, by the name of the table. Read from the models of the schema, where `@@map` contains the
 * name of the table, and `@map` the name of a column if it is not the name of the field.
 */
const columnsInSchema = Object.fromEntries(
  [...schema.matchAll(/^model \w+ \{\n([\s\S]*?)^\}/gm)].map(([, body = '']) => {
    const [, table] = /@@map\("(\w+)"\)/.exec(body) ?? []
    const columns = [...body.matchAll(/^ {2}(\w+) +\w.*$/gm)].map(([line, field]) => {
      const [, mappedName] = /@map\("(\w+)"\)/.exec(line) ?? []
      return mappedName ?? field
    })
    return [table, columns.sort()]
  }),
)

/**
 * The columns of each table, by the name of the table. Read from the document, where each table has a section. The
 * first cell of each row in the section names one or more columns.
 */
const columnsInDocument = Object.fromEntries(
  [...document.matchAll(/^### `(\w+)`\n([\s\S]*?)(?=^#)/gm)].map(([, table, section = '']) => {
    const firstCells = [...section.matchAll(/^\| (`[^|]*) \|/gm)].map(([, cell = '']) => cell)
    const columns = firstCells.flatMap((cell) =>
      [...cell.matchAll(/`(\w+)`/g)].map(([, column]) => column),
    )
    return [table, columns.sort()]
  }),
)

test('docs/privacy.md names exactly the tables and columns of the schema', () => {
  expect(columnsInDocument).toEqual(columnsInSchema)
  // These numbers make the test fail if the patterns above miss tables or columns in both files.
  expect(Object.keys(columnsInSchema)).toHaveLength(6)
  expect(Object.values(columnsInSchema).flat().length).toBeGreaterThan(40)
})

test('docs/privacy.md states for each column whether it is personal: yes, no or hardly', () => {
  // The third cell contains the statement.
  const rows = [...document.matchAll(/^\| `\w+`[^|]*\|[^|]+\|([^|]+)\|$/gm)]
  expect(rows.length).toBeGreaterThan(25)
  for (const [row, statement = ''] of rows) {
    expect(statement.trim(), row).toMatch(/^(yes|no|hardly)/)
  }
})
