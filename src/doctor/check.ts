import { hasCode, LastLogoutError } from '../errors.js'

/** What became of one check. */
export interface Check {
  name: string
  status: 'ok' | 'warning' | 'failure' | 'skipped'
  /** What was seen. */
  message: string
  /** What to do; where there is something to do. */
  advice?: string
}

/** As it should be. */
export function ok(name: string, message: string): Check {
  return { name, status: 'ok', message }
}

/** It works, and somebody should know. */
export function warning(name: string, message: string, advice: string): Check {
  return { name, status: 'warning', message, advice }
}

/** It does not work. Without `advice`, the message holds it. */
export function failure(name: string, message: string, advice?: string): Check {
  return { name, status: 'failure', message, ...(advice !== undefined && { advice }) }
}

/** It cannot be told, because of what another check found. */
export function skipped(names: readonly string[], why: string): Check[] {
  return names.map((name) => ({ name, status: 'skipped', message: why }))
}

/** What an error says. Those that are not ours may quote a secret: of them only a code is shown. */
export function describeError(error: unknown): string {
  if (hasCode(error, 'ABORTED')) return 'no answer in time'
  if (error instanceof LastLogoutError) return error.message
  const { code, name, message } = Object(error)
  // Redis has no codes, and begins its messages with a word such as WRONGPASS.
  const [word] = /^[A-Z]{4,}\b/.exec(String(message)) ?? []
  return String(code ?? word ?? name)
}
