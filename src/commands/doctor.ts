import { loadConfig } from '../config/config.js'
import type { Check } from '../doctor/check.js'
import { examine } from '../doctor/doctor.js'
import { LastLogoutError } from '../errors.js'
import { nameProgram } from '../program-name.js'
import type { CommandContext } from './context.js'
import { escapeControls } from './escape-controls.js'
import { rethrowUnfinished } from './rethrow-unfinished.js'

/** The options of `doctor`. */
export interface DoctorFlags {
  /** The name of the login Action. */
  action: string
  probe?: true
  json?: true
}

/**
 * Runs `doctor`: checks configuration, credentials and connectivity, and prints the checks.
 *
 * @throws `CHECKS_FAILED` where a check failed.
 */
export async function runDoctor(context: CommandContext, flags: DoctorFlags): Promise<void> {
  const config = loadConfig(context.env, ['auth0', 'database'])
  const { action: actionName, probe = false, json = false } = flags
  const examination = examine({ config, actionName, probe, signal: context.stop })
  const { programName } = context
  const print = json ? () => {} : context.print
  const checks = await collect(examination, programName, print).catch(rethrowUnfinished)
  if (json) context.print(`${JSON.stringify({ checks }, null, 2)}\n`)
  const failed = checks.filter(({ status }) => status === 'failure').length
  if (failed > 0) {
    const count = failed === 1 ? '1 check' : `${failed} checks`
    const message = `${count} failed: follow the advice after each failure.`
    throw new LastLogoutError('CHECKS_FAILED', message)
  }
}

/** Prints each check when it is done. Consecutive skipped checks with the same reason share a line. */
async function collect(
  examination: AsyncIterable<Check>,
  programName: string,
  print: (text: string) => void,
): Promise<Check[]> {
  const checks: Check[] = []
  let skipped: Check[] = []
  const printSkipped = () => {
    if (skipped.length > 0) print(toSkippedText(skipped))
    skipped = []
  }
  for await (const found of examination) {
    const check = nameCommands(found, programName)
    checks.push(check)
    const isSkipped = check.status === 'skipped'
    if (!isSkipped || skipped[0]?.message !== check.message) printSkipped()
    if (isSkipped) skipped.push(check)
    else print(toText(check))
  }
  printSkipped()
  return checks
}

/** Names the program in the commands of a check as it was started. */
function nameCommands(check: Check, programName: string): Check {
  const { message, advice } = check
  return {
    ...check,
    message: nameProgram(message, programName),
    ...(advice !== undefined && { advice: nameProgram(advice, programName) }),
  }
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
