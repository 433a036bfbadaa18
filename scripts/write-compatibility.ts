import { readFile, writeFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { renderCompatibility } from './compatibility.js'

const PAGE = new URL('../docs/compatibility.md', import.meta.url)

const { values, positionals } = parseArgs({
  options: { check: { type: 'boolean', default: false } },
  allowPositionals: true,
})
const [report] = positionals
if (report === undefined) throw new Error('usage: write-compatibility.ts [--check] REPORT')

const page = renderCompatibility(await readFile(report, 'utf8'))
if (!values.check) await writeFile(PAGE, page)
else if ((await readFile(PAGE, 'utf8')) !== page) {
  process.stderr.write('docs/compatibility.md is out of date: run `npm run docs:compatibility`\n')
  process.exitCode = 1
}
