/**
 * Runs the benchmarks one after another. Each measured value is divided by a limit, or by the value of a peer: other
 * code that does comparable work in the same run. Prints the ratios with their spread, and stores them for
 * docs/performance.md. Takes at most ten minutes, or 90 seconds with
 * `--short`. A missed bound is printed as `missed`, and does not change the exit code, because a time depends on the
 * machine. The exit code is 1 if a benchmark cannot measure.
 *
 *   npm run bench [-- --short] [-- names]
 */
import { parseArgs } from 'node:util'
import { startBenchRun } from './bench-run.js'
import { type Figure, figureRows, formatTable } from './figures.js'
import { storeResult } from './results.js'
import { runBenchmark } from './run-benchmark.js'

/**
 * The arguments of a benchmark in a full run and in a short run. The head comment of the benchmark's file explains
 * them. `null`: there is no short form, so a short run omits the benchmark.
 */
interface Arguments {
  full: string[]
  short: string[] | null
}

const BENCHMARKS = new Map<string, Arguments>([
  ['reads', { full: ['1000000', '5', '2'], short: ['20000', '2', '1'] }],
  ['feed', { full: ['40'], short: ['10'] }],
  ['catch-up', { full: ['5'], short: ['1'] }],
  ['check', { full: ['1000000', '5'], short: ['100000', '3'] }],
  ['watch', { full: ['20000', '500'], short: ['5000', '100'] }],
  ['gateways', { full: ['20000', '3', '2'], short: ['1000', '1', '1', '10'] }],
  ['memory', { full: ['dist/bundle/last-logout.mjs', '20'], short: null }],
  ['peers', { full: ['5', '1'], short: ['1', '0.5'] }],
  ['cli', { full: ['3'], short: null }],
  ['start', { full: ['dist/main.js', 'dist/bundle/last-logout.mjs'], short: null }],
  ['rate', { full: ['40'], short: null }],
])

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { short: { type: 'boolean', default: false } },
})
const unknownName = positionals.find((name) => !BENCHMARKS.has(name))
if (unknownName !== undefined) {
  throw new Error(
    `there is no benchmark ${unknownName}: use one of ${[...BENCHMARKS.keys()].join(', ')}`,
  )
}

const withoutShortForm = positionals.filter((name) => BENCHMARKS.get(name)?.short === null)
if (values.short && withoutShortForm.length > 0) {
  throw new Error(`${withoutShortForm.join(', ')}: there is no short form; omit --short`)
}

const run = startBenchRun()
const startedMs = performance.now()
const figures: Figure[] = []
const failures: string[] = []
for (const [name, { full, short }] of BENCHMARKS) {
  const args = values.short ? short : full
  if (args === null || (positionals.length > 0 && !positionals.includes(name))) continue
  console.log(`\n=== ${name} ${args.join(' ')}\n`)
  try {
    const measured = await runBenchmark(run, name, args)
    figures.push(...measured)
    if (!values.short) await storeResult('figures', name, measured)
  } catch (error) {
    // After a signal, no further benchmark must start.
    if (run.hasFailed()) throw error
    failures.push(String(error))
  }
}
const seconds = Math.round((performance.now() - startedMs) / 1000)
console.log(`\n=== all ratios, after ${seconds} s\n\n${formatTable(figureRows(figures))}`)
for (const failure of failures) console.error(failure)
if (failures.length > 0) process.exitCode = 1
await run.end()
