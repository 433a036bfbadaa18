import { loadConfig } from '../config/config.js'
import type { Check } from '../doctor/check.js'
import { examine } from '../doctor/doctor.js'
import { LastLogoutError } from '../errors.js'
import type { CommandContext } from './context.js'
import { printable } from './printable.js'
import { rethrow } from './rethrow.js'

/** The options of `doctor`. */
export interface DoctorFlags {
  /** The name of the login Action. */
  action: string
  probe?: true
  json?: true
}

/** `doctor`: whether all that the service needs is as it should be. Throws where something is not. */
export async function doctor(context: CommandContext, flags: DoctorFlags): Promise<void> {
  const config = loadConfig(context.env, ['auth0', 'database'])
  const { action: actionName, probe = false, json = false } = flags
  const examination = examine({ config, actionName, probe, signal: context.stop })
  const checks = await collect(examination, json ? () => {} : context.print).catch(rethrow)
  if (json) context.print(`${JSON.stringify({ checks }, null, 2)}\n`)
  const failed = checks.filter(({ status }) => status === 'failure').length
  if (failed > 0) {
    const what = failed === 1 ? '1 check has failed' : `${failed} checks have failed`
    throw new LastLogoutError('CHECKS_FAILED', what)
  }
}

/** The checks, each printed as soon as it is done; skipped ones of one reason are one line. */
async function collect(
  examination: AsyncIterable<Check>,
  print: (text: string) => void,
): Promise<Check[]> {
  const checks: Check[] = []
  let skipped: Check[] = []
  const printSkipped = () => {
    if (skipped.length > 0) print(toSkippedText(skipped))
    skipped = []
  }
  for await (const check of examination) {
    checks.push(check)
    const isSkipped = check.status === 'skipped'
    if (!isSkipped || skipped[0]?.message !== check.message) printSkipped()
    if (isSkipped) skipped.push(check)
    else print(toText(check))
  }
  printSkipped()
  return checks
}

function toSkippedText(checks: Check[]): string {
  if (checks.length === 1) return checks.map(toText).join('')
  const names = checks.map(({ name }) => name).join(', ')
  return `skipped  ${names}: ${checks[0]?.message}\n`
}

function toText({ name, status, message, advice }: Check): string {
  const line = `${status.padEnd(8)} ${name.padEnd(15)} ${printable(message)}\n`
  return advice === undefined ? line : `${line}${' '.repeat(25)}-> ${advice}\n`
}
