// Prints a summary of a test run from its JSON report: counts, wall time, the ten slowest files, and each
// file that took more than a minute. Fails if a test was skipped or no test ran.
import { readFile } from 'node:fs/promises'
import { relative } from 'node:path'

const MAX_FILE_SECONDS = 60

const [path, startedAt] = process.argv.slice(2)
const report = JSON.parse(await readFile(path, 'utf8'))
const { numPassedTests, numFailedTests, numPendingTests, numTodoTests, testResults } = report
const skipped = numPendingTests + numTodoTests
const wallSeconds = Math.round(Date.now() / 1000 - Number(startedAt))
const files = testResults
  .map(({ name, startTime, endTime }) => ({
    name: relative(process.cwd(), name),
    seconds: (endTime - startTime) / 1000,
  }))
  .sort((a, b) => b.seconds - a.seconds)
const toLine = ({ name, seconds }) => `  ${seconds.toFixed(1).padStart(6)} s  ${name}`

console.log(
  `${numPassedTests} passed, ${numFailedTests} failed, ${skipped} skipped, ${wallSeconds} s`,
)
console.log(`the slowest files:\n${files.slice(0, 10).map(toLine).join('\n')}`)
const slow = files.filter(({ seconds }) => seconds > MAX_FILE_SECONDS)
if (slow.length > 0) console.log(`over ${MAX_FILE_SECONDS} s:\n${slow.map(toLine).join('\n')}`)
process.exitCode = skipped > 0 || numPassedTests === 0 ? 1 : 0
