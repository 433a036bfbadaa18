import { hasCode, LastLogoutError } from '../errors.js'

/** The result of one check. */
export interface Check {
  name: string
  status: 'ok' | 'warning' | 'failure' | 'skipped'
  /** The finding of the check. */
  message: string
  /** The action for the operator, if one is needed. */
  advice?: string
}

/** Creates the result of a check that passed. */
export function ok(name: string, message: string): Check {
  return { name, status: 'ok', message }
}

/** Creates the result of a check that found a risk. A warning does not change the exit code. */
export function warning(name: string, message: string, advice: string): Check {
  return { name, status: 'warning', message, advice }
}

/** Creates the result of a check that failed. Without `advice`, the message itself contains the advice. */
export function failure(name: string, message: string, advice?: string): Check {
  return { name, status: 'failure', message, ...(advice !== undefined && { advice }) }
}

/** Creates the results of checks that cannot run because another check has failed. */
export function skipped(names: readonly string[], why: string): Check[] {
  return names.map((name) => ({ name, status: 'skipped', message: why }))
}

/**
 * Describes an error. For an error of another program or library, returns only the code or the name, because the
 * message can contain a secret.
 */
export function describeError(error: unknown): string {
  if (hasCode(error, 'ABORTED')) return 'no response in time'
  if (error instanceof LastLogoutError) return error.message
  const { code, name, message } = Object(error)
  // Errors of Redis have no code. Their messages begin with a word such as WRONGPASS.
  const [word] = /^[A-Z]{4,}\b/.exec(String(message)) ?? []
  return String(code ?? word ?? name)
}
