import { readFileSync } from 'node:fs'
import type { LogEntry, Tenant } from './tenant.js'

/** A recorded request to the Logs API with its response. */
export interface RecordedCall {
  request: { method: string; url: string }
  response: { status: number; headers: Record<string, string[]>; body: LogEntry[] }
}

/** Reads a recording: a JSON file with an array of calls. */
export function readRecording(file: string | URL): RecordedCall[] {
  return JSON.parse(readFileSync(file, 'utf8'))
}

/** Writes the recorded entries to the tenant, with their log ids. */
export function loadRecording(tenant: Tenant, calls: readonly RecordedCall[]): void {
  tenant.writeStored(calls.flatMap(({ response }) => response.body))
}
