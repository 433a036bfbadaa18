import { relative } from 'node:path'
import { z } from 'zod'
import { AREAS, type Area, type Compatibility } from '../test/environments/compatibility.js'

const compatibilitySchema: z.ZodType<Compatibility> = z.object({
  area: z.enum(AREAS),
  environment: z.string(),
  outcome: z.enum(['works', 'is refused']),
  note: z.string(),
})

/** The part of Vitest's JSON report that this file reads. Tests that add a row to the table set `compatibility`. */
const reportSchema = z.object({
  testResults: z.array(
    z.object({
      name: z.string(),
      assertionResults: z.array(
        z.object({
          status: z.string(),
          fullName: z.string(),
          meta: z.object({ compatibility: compatibilitySchema.optional() }),
        }),
      ),
    }),
  ),
})

/** A row of the table. */
interface Row extends Compatibility {
  /** The file of the test that shows the outcome. */
  file: string
}

/**
 * Returns the text of docs/compatibility.md, from the JSON report of a run of `test/environments`.
 *
 * @throws `Error` if a test that adds a row to the table did not pass.
 */
export function renderCompatibility(json: string): string {
  const rows = readRows(json)
  const sections = AREAS.map((area) => renderSection(area, rows))
  return `${INTRODUCTION}\n${sections.join('\n')}`
}

const INTRODUCTION = `# Compatibility

The environments in which last-logout was tested, and whether it works in them. \`npm run docs:compatibility\` writes this
page from a run of \`test/environments\`: each row names the file whose tests passed. Environments that are not listed were
not tested. The servers are real, in the versions that npm and Debian offer. In a row with the word *emulated*, a proxy in
front of a real server changes its responses to those of the named server. Only Auth0 is simulated: see
[first-real-tenant.md](first-real-tenant.md). Unless a row names another version, the server is PostgreSQL 18 or Redis 7.0.
`

function readRows(json: string): Row[] {
  const rows = new Map<string, Row>()
  for (const { name: testFile, assertionResults } of reportSchema.parse(JSON.parse(json))
    .testResults) {
    for (const { status, fullName, meta } of assertionResults) {
      if (meta.compatibility === undefined) continue
      if (status !== 'passed') throw new Error(`${fullName}: ${status}, run the tests again`)
      const row = { ...meta.compatibility, file: relative(process.cwd(), testFile) }
      // A later test of the same environment replaces the row.
      rows.set(`${row.area}: ${row.environment}`, row)
    }
  }
  return [...rows.values()].sort((a, b) => compareNames(a.environment, b.environment))
}

function renderSection(area: Area, rows: Row[]): string {
  const lines = rows
    .filter((row) => row.area === area)
    .map(({ environment, outcome, note, file }) => {
      const cells = [environment, note === '' ? outcome : `${outcome}: ${note}`, `\`${file}\``]
      return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
    })
  return `## ${area}\n\n| environment | last-logout | shown by |\n|---|---|---|\n${lines.join('\n')}\n`
}

/** Sorts names by the alphabet, and the numbers in them by their value. */
const compareNames = new Intl.Collator('en', { numeric: true }).compare
