import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'

// docs/pitfalls.md is a table of what went wrong in other systems. Each row begins with the number of a pitfall, and
// its last cell lists the test files that cover the pitfall. These tests have the number in their name, as `(pitfall
// N)`.

/**
 * Reads which test files name which pitfalls. The key is the number of a pitfall. The value is the paths of its files
 * in `test`, without the extension: `sync/poll`.
 */
async function readTestsOfPitfalls(): Promise<Map<string, string[]>> {
  const filesByNumber = new Map<string, string[]>()
  const files = await readdir('test', { recursive: true })
  for (const file of files.filter((name) => name.endsWith('.ts')).sort()) {
    const text = await readFile(join('test', file), 'utf8')
    // Matches `(pitfall N)`, and `(pitfalls M, N)` with two or more numbers.
    const lists = [...text.matchAll(/\(pitfalls? (\d+(?:, \d+)*)\)/g)]
    const numbers = lists.flatMap(([, list = '']) => list.split(', '))
    const path = file.replace(/(\.test)?\.ts$/, '')
    for (const number of new Set(numbers)) {
      filesByNumber.set(number, [...(filesByNumber.get(number) ?? []), path])
    }
  }
  return filesByNumber
}

test('docs/pitfalls.md lists exactly the pitfalls that tests name, each with all test files that name it', async () => {
  const document = await readFile('docs/pitfalls.md', 'utf8')
  const rows = [...document.matchAll(/^\| (\d+) \|.*\| ([^|]+) \|$/gm)]
  const documented = new Map(
    rows.map(([, number = '', tests = '']) => [
      number,
      [...tests.matchAll(/`([^`]+)`/g)].map(([, file = '']) => file),
    ]),
  )
  expect(documented).toEqual(await readTestsOfPitfalls())
})
