import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Figure } from './figures.js'
import type { ClientResult } from './growth/clients.js'
import type { RowsResult } from './growth/rows.js'
import type { SubscribersResult } from './growth/subscribers.js'
import { describeMachine, type Machine } from './machine.js'

const FILE = 'dist/bench-results.json'

/** The memory of a worker that reads a backlog. */
export interface BacklogResult {
  entries: number
  seconds: number
  /** Resident memory at regular intervals. */
  rssMiB: number[]
}

/** The stored results of `npm run bench` and of `npm run bench:growth`. The documents are written from them. */
export interface BenchResults {
  machine: Machine
  /** The day of each measurement, such as `2026-11-28`, by its name. */
  days: Record<string, string>
  /** The figures of each benchmark, by its name. */
  figures: Record<string, Figure[]>
  /** By the number of users. */
  rows: Record<string, RowsResult>
  clients: Record<string, ClientResult>
  /** By the number of subscribers. */
  subscribers: Record<string, SubscribersResult>
  /** By the number of entries. */
  backlogs: Record<string, BacklogResult>
}

/** The kinds of results, and the type of each. */
type Results = Omit<BenchResults, 'machine' | 'days'>

/** Reads the stored results. There are none before the first measurement. */
export async function readResults(): Promise<BenchResults> {
  const text = await readFile(FILE, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error
    return '{}'
  })
  const empty = { days: {}, figures: {}, rows: {}, clients: {}, subscribers: {}, backlogs: {} }
  return { machine: await describeMachine(), ...empty, ...JSON.parse(text) }
}

/** Stores a result in place of an earlier one. */
export async function storeResult<Kind extends keyof Results>(
  kind: Kind,
  name: string,
  result: Results[Kind][string],
): Promise<void> {
  const results = await readResults()
  const day = new Date().toISOString().slice(0, 10)
  const updated = {
    ...results,
    machine: await describeMachine(),
    days: { ...results.days, [`${kind}-${name}`]: day },
    [kind]: { ...results[kind], [name]: result },
  }
  await mkdir(dirname(FILE), { recursive: true })
  await writeFile(FILE, `${JSON.stringify(updated, null, 2)}\n`)
}
