import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'

/** The files of tests, without their suffix, that name each pitfall. */
async function readTests(): Promise<Map<string, string[]>> {
  const found = new Map<string, string[]>()
  const files = await readdir('test', { recursive: true })
  for (const file of files.filter((name) => name.endsWith('.ts')).sort()) {
    const text = await readFile(join('test', file), 'utf8')
    const numbers = [...text.matchAll(/\((P\d+(?:, P\d+)*)\)/g)].flatMap(([, list = '']) =>
      list.split(', '),
    )
    for (const number of new Set(numbers)) {
      found.set(number, [...(found.get(number) ?? []), file.replace(/(\.test)?\.ts$/, '')])
    }
  }
  return found
}

test('docs/pitfalls.md names each pitfall that tests name, with these tests', async () => {
  const document = await readFile('docs/pitfalls.md', 'utf8')
  const rows = [...document.matchAll(/^\| (P\d+) \|.*\| ([^|]+) \|$/gm)]
  const documented = new Map(
    rows.map(([, number = '', tests = '']) => [
      number,
      [...tests.matchAll(/`([^`]+)`/g)].map(([, file = '']) => file),
    ]),
  )
  expect(documented).toEqual(await readTests())
})
