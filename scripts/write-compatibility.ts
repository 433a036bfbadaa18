import { readFile, writeFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { renderCompatibility } from './compatibility.js'

const PAGE = new URL('../docs/compatibility.md', import.meta.url)

// With `--check`, only checks whether the page is up to date.
const { values, positionals } = parseArgs({
  options: { check: { type: 'boolean', default: false } },
  allowPositionals: true,
})
const [reportFile] = positionals
if (reportFile === undefined) throw new Error('usage: write-compatibility.ts [--check] REPORT')

const rendered = renderCompatibility(await readFile(reportFile, 'utf8'))
if (!values.check) await writeFile(PAGE, rendered)
else if ((await readFile(PAGE, 'utf8')) !== rendered) {
  process.stderr.write('docs/compatibility.md is out of date: run `npm run docs:compatibility`\n')
  process.exitCode = 1
}
