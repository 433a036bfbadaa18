import { readFileSync } from 'node:fs'
import type { LogEntry, Tenant } from './tenant.js'

/** A recorded request to the Logs API, and its response. */
export interface Exchange {
  request: { method: string; url: string }
  response: { status: number; headers: Record<string, string[]>; body: LogEntry[] }
}

/** Reads a recording: a JSON file with an array of exchanges. */
export function readRecording(file: string | URL): Exchange[] {
  return JSON.parse(readFileSync(file, 'utf8'))
}

/** Writes the recorded entries to the tenant, with their log ids. */
export function loadRecording(tenant: Tenant, exchanges: readonly Exchange[]): void {
  tenant.writeStored(exchanges.flatMap(({ response }) => response.body))
}
