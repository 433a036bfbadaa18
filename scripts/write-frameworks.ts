import { readFile, writeFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { FRAMEWORKS_DOCUMENT, renderFrameworks } from './frameworks.js'

// With `--check`, only checks whether the table is up to date.
const { values } = parseArgs({ options: { check: { type: 'boolean', default: false } } })
const document = await readFile(FRAMEWORKS_DOCUMENT, 'utf8')
const rendered = await renderFrameworks(document)
if (!values.check) await writeFile(FRAMEWORKS_DOCUMENT, rendered)
else if (rendered !== document) {
  process.stderr.write(`${FRAMEWORKS_DOCUMENT} is out of date: run \`npm run docs:frameworks\`\n`)
  process.exitCode = 1
}
