import { loadConfig } from '../config.js'
import type { Check } from '../doctor/check.js'
import { examine } from '../doctor/doctor.js'
import { LastLogoutError } from '../errors.js'
import type { CommandContext } from './context.js'
import { printable } from './printable.js'

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
  const checks: Check[] = []
  for await (const check of examine({ config, actionName, probe, signal: context.stop })) {
    checks.push(check)
    if (!json) context.print(toText(check))
  }
  if (json) context.print(`${JSON.stringify({ checks }, null, 2)}\n`)
  const failed = checks.filter(({ status }) => status === 'failure').length
  if (failed > 0) {
    const what = failed === 1 ? '1 check has failed' : `${failed} checks have failed`
    throw new LastLogoutError('CHECKS_FAILED', what)
  }
}

function toText({ name, status, message, advice }: Check): string {
  const line = `${status.padEnd(8)} ${name.padEnd(15)} ${printable(message)}\n`
  return advice === undefined ? line : `${line}${' '.repeat(25)}-> ${advice}\n`
}
