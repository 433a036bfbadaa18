/**
 * Measures how reads, writes, sizes, clients, the change feed and a backlog grow. Stores the results, and writes
 * docs/performance.md and the figures of docs/scaling.md from them. A run of all parts takes about 15 minutes and 6 GB
 * in the directory for temporary files.
 *
 *   npm run bench:growth                      runs all parts
 *   npm run bench:growth -- PART…             runs these parts, such as rows-10000 or subscribers-1000
 *   npm run bench:growth -- --list            lists the parts
 *
 * A part takes at most 100 seconds. The parts `fill-…` take longer. If one is interrupted, its next run continues.
 */
import { parseArgs } from 'node:util'
import { measureBacklog } from '../backlog.js'
import { type BenchRun, startBenchRun } from '../bench-run.js'
import { storeResult } from '../results.js'
import { measureClient } from './clients.js'
import { writeDocuments } from './documents.js'
import { deleteGrownDatabase, growDatabase } from './grow-tables.js'
import { describeRows, measureRows } from './rows.js'
import { measureSubscriberLoad } from './subscribers.js'

const USERS = [10_000, 100_000, 1_000_000, 10_000_000]
const SUBSCRIBERS = [10, 100, 500, 1_000, 2_000]
const BACKLOG_ENTRIES = 1_000_000

/** The functions of the parts by name, in the order in which the parts run. */
const parts = new Map<string, (run: BenchRun) => Promise<void>>([
  ...USERS.flatMap((users): [string, (run: BenchRun) => Promise<void>][] => [
    [`fill-${users}`, (run) => growDatabase(run, users)],
    [
      `rows-${users}`,
      async (run) => {
        const result = await measureRows(run, users)
        console.log(describeRows(result))
        await storeResult('rows', String(users), result)
      },
    ],
  ]),
  ['delete-rows', deleteGrownDatabase],
  ...USERS.map((users): [string, (run: BenchRun) => Promise<void>] => [
    `clients-${users}`,
    async (run) => storeResult('clients', String(users), await measureClient(run, users)),
  ]),
  ...SUBSCRIBERS.map((subscribers): [string, (run: BenchRun) => Promise<void>] => [
    `subscribers-${subscribers}`,
    async (run) =>
      storeResult(
        'subscribers',
        String(subscribers),
        await measureSubscriberLoad(run, subscribers),
      ),
  ]),
  [
    `backlog-${BACKLOG_ENTRIES}`,
    async (run) =>
      storeResult('backlogs', String(BACKLOG_ENTRIES), await measureBacklog(run, BACKLOG_ENTRIES)),
  ],
  ['documents', writeDocuments],
])

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { list: { type: 'boolean', default: false } },
})
if (values.list) console.log([...parts.keys()].join('\n'))
else await runParts(positionals.length > 0 ? positionals : [...parts.keys()])

async function runParts(names: string[]): Promise<void> {
  const unknownName = names.find((name) => !parts.has(name))
  if (unknownName !== undefined) {
    throw new Error(
      `there is no part ${unknownName}: \`npm run bench:growth -- --list\` lists the parts`,
    )
  }
  for (const name of names) {
    const startedMs = performance.now()
    console.log(`\n=== ${name}\n`)
    const run = startBenchRun()
    await parts.get(name)?.(run)
    await run.end()
    console.log(`${name}: ${Math.round((performance.now() - startedMs) / 1000)} s`)
  }
}
