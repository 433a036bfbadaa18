import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'

/** Returns the test files that name each pitfall, by the number of the pitfall. The file names have no suffix. */
async function readTests(): Promise<Map<string, string[]>> {
  const filesByNumber = new Map<string, string[]>()
  const files = await readdir('test', { recursive: true })
  for (const file of files.filter((name) => name.endsWith('.ts')).sort()) {
    const text = await readFile(join('test', file), 'utf8')
    const numbers = [...text.matchAll(/\(pitfalls? (\d+(?:, \d+)*)\)/g)].flatMap(([, list = '']) =>
      list.split(', '),
    )
    for (const number of new Set(numbers)) {
      filesByNumber.set(number, [
        ...(filesByNumber.get(number) ?? []),
        file.replace(/(\.test)?\.ts$/, ''),
      ])
    }
  }
  return filesByNumber
}

test('docs/pitfalls.md lists each pitfall that a test names, with all test files that name it', async () => {
  const document = await readFile('docs/pitfalls.md', 'utf8')
  const rows = [...document.matchAll(/^\| (\d+) \|.*\| ([^|]+) \|$/gm)]
  const documented = new Map(
    rows.map(([, number = '', tests = '']) => [
      number,
      [...tests.matchAll(/`([^`]+)`/g)].map(([, file = '']) => file),
    ]),
  )
  expect(documented).toEqual(await readTests())
})
