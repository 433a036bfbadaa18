import { readFileSync } from 'node:fs'
import type { LogEntry, Tenant } from './tenant.js'

/** One recorded request to the Logs API with its answer. */
export interface Exchange {
  request: { method: string; url: string }
  response: { status: number; headers: Record<string, string[]>; body: LogEntry[] }
}

/** The exchanges of a recording: a JSON file with an array of them. */
export function readRecording(file: string | URL): Exchange[] {
  return JSON.parse(readFileSync(file, 'utf8'))
}

/** Puts every recorded entry into the tenant, under its own log id. */
export function loadRecording(tenant: Tenant, exchanges: readonly Exchange[]): void {
  tenant.writeStored(exchanges.flatMap(({ response }) => response.body))
}
