import { realpath } from 'node:fs/promises'
import { resolve } from 'node:path'
import { type Config, loadConfig } from '../config/config.js'
import type { Check } from '../doctor/check.js'
import { runChecks } from '../doctor/doctor.js'
import { LastLogoutError } from '../errors.js'
import { nameProgram } from '../program-name.js'
import type { CommandContext } from './context.js'
import { escapeControls } from './escape-controls.js'
import { rethrowAbortAsUnfinished } from './rethrow-abort-as-unfinished.js'

/** The options of `doctor`. */
export interface DoctorFlags {
  /** The name of the login Action. */
  action: string
  probe?: true
  json?: true
}

/**
 * Runs `doctor`: checks configuration, credentials and connectivity, and prints the results.
 *
 * @throws `CHECKS_FAILED` if a check failed.
 */
export async function runDoctor(context: CommandContext, flags: DoctorFlags): Promise<void> {
  assertNoFailure(await printChecks(context, flags))
}

/** Runs the checks. Prints and returns the results. */
export async function printChecks(context: CommandContext, flags: DoctorFlags): Promise<Check[]> {
  const { action: actionName, probe = false, json = false } = flags
  const loadedConfig = loadConfig(context.env, ['auth0', 'database'])
  const config = json ? await resolveDataDir(loadedConfig, context.cwd) : loadedConfig
  const results = runChecks({ config, actionName, probe, signal: context.stop })
  const print = (text: string) => context.print(nameProgram(text, context.programName))
  const checks = await printAndCollect(results, json ? () => {} : print).catch(
    rethrowAbortAsUnfinished,
  )
  if (json) {
    const publicChecks = checks.map((check) => withoutPath(check, config.database.dataDir))
    context.print(`${JSON.stringify({ checks: publicChecks }, null, 2)}\n`)
  } else print(toSummary(checks))
  return checks
}

/** Throws `CHECKS_FAILED` if a check failed. */
export function assertNoFailure(checks: Check[]): void {
  const failures = checks.filter(({ status }) => status === 'failure').length
  if (failures === 0) return
  const count = failures === 1 ? '1 check' : `${failures} checks`
  const message = `${count} failed: follow the advice after each failure.`
  throw new LastLogoutError('CHECKS_FAILED', message)
}

/**
 * Replaces `DATA_DIR` by its absolute path without symbolic links. All messages then contain this path, which
 * {@link withoutPath} can find. A relative path, such as `data`, can be a word of a message.
 */
async function resolveDataDir(config: Config<'auth0' | 'database'>, cwd: string) {
  const { database } = config
  if (database.dataDir === undefined) return config
  const path = resolve(cwd, database.dataDir)
  // A path that does not exist, or cannot be read, contains no link that a message could resolve.
  const dataDir = await realpath(path).catch(() => path)
  return { ...config, database: { ...database, dataDir } }
}

/**
 * Removes the path of `DATA_DIR` from a result. Users send the JSON to others, and the path can contain a name.
 *
 * @param dataDir The path as {@link resolveDataDir} returns it.
 */
function withoutPath(check: Check, dataDir: string | undefined): Check {
  if (dataDir === undefined) return check
  const escapedDir = dataDir.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')
  // A short path, such as `/data`, can also be a part of another path or of a URL.
  const path = new RegExp(`(?<![\\w/.-])${escapedDir}(?![\\w-])`, 'g')
  const replace = (text: string) => text.replace(path, 'DATA_DIR')
  const { message, advice } = check
  return {
    ...check,
    message: replace(message),
    ...(advice !== undefined && { advice: replace(advice) }),
  }
}

/**
 * Prints each result as it arrives, and returns all results. Consecutive checks that are skipped for the same reason
 * share a line.
 */
async function printAndCollect(
  results: AsyncIterable<Check>,
  print: (text: string) => void,
): Promise<Check[]> {
  const checks: Check[] = []
  let skipped: Check[] = []
  const printSkipped = () => {
    if (skipped.length > 0) print(toSkippedText(skipped))
    skipped = []
  }
  for await (const check of results) {
    checks.push(check)
    const isSkipped = check.status === 'skipped'
    if (!isSkipped || skipped[0]?.message !== check.message) printSkipped()
    if (isSkipped) skipped.push(check)
    else print(toText(check))
  }
  printSkipped()
  return checks
}

/** Formats the number of checks by status, and the next step. */
function toSummary(checks: Check[]): string {
  const count = (status: Check['status']) =>
    checks.filter((check) => check.status === status).length
  const [failures, warnings] = [count('failure'), count('warning')]
  const counts = `${count('ok')} ok, ${warnings} ${warnings === 1 ? 'warning' : 'warnings'}, ${failures} failed, ${count('skipped')} skipped`
  return `\nsummary  ${counts}\n${' '.repeat(9)}-> ${toNextStep(failures, warnings)}\n`
}

function toNextStep(failures: number, warnings: number): string {
  if (failures > 0) {
    return 'correct the first failure, which can be the cause of the failures below it; then run `last-logout doctor` again'
  }
  return warnings > 0
    ? 'nothing has failed: read the advice after each warning, and decide whether it concerns you'
    : 'nothing to do'
}

function toSkippedText(checks: Check[]): string {
  if (checks.length === 1) return checks.map(toText).join('')
  const names = checks.map(({ name }) => name).join(', ')
  return `skipped  ${names}: ${checks[0]?.message}\n`
}

function toText({ name, status, message, advice }: Check): string {
  const line = `${status.padEnd(8)} ${name.padEnd(15)} ${escapeControls(message)}\n`
  return advice === undefined ? line : `${line}${' '.repeat(25)}-> ${advice}\n`
}
