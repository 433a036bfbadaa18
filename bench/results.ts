import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { BacklogMeasurement } from './backlog.js'
import type { Figure } from './figures.js'
import type { ClientResult } from './growth/clients.js'
import type { RowsResult } from './growth/rows.js'
import type { SubscribersResult } from './growth/subscribers.js'
import { describeMachine, type Machine } from './machine.js'

const RESULTS_FILE = 'dist/bench-results.json'

/** The stored results of `npm run bench` and `npm run bench:growth`, from which the documents are written. */
export interface BenchResults {
  machine: Machine
  /** The day of each measurement, such as `2026-11-28`. The key is `<kind>-<name>`, such as `rows-1000000`. */
  days: Record<string, string>
  /** The figures of each benchmark, by its name. */
  figures: Record<string, Figure[]>
  /** The measurements of the service, by the number of users in its tables. */
  rows: Record<string, RowsResult>
  /** The costs of a client, by the number of users that it has loaded. */
  clients: Record<string, ClientResult>
  /** The measurements of the change feed, by the number of subscribers. */
  subscribers: Record<string, SubscribersResult>
  /** The measurements of a worker that reads a backlog, by the number of entries. */
  backlogs: Record<string, BacklogMeasurement>
}

/** The kinds of results. */
type Results = Omit<BenchResults, 'machine' | 'days'>

/** Reads the stored results. Before the first measurement, all kinds of results are empty. */
export async function readResults(): Promise<BenchResults> {
  const text = await readFile(RESULTS_FILE, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error
    return '{}'
  })
  const empty = { days: {}, figures: {}, rows: {}, clients: {}, subscribers: {}, backlogs: {} }
  return { machine: await describeMachine(), ...empty, ...JSON.parse(text) }
}

/** Stores a result. Replaces an earlier result of the same kind and name. */
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
  await mkdir(dirname(RESULTS_FILE), { recursive: true })
  await writeFile(RESULTS_FILE, `${JSON.stringify(updated, null, 2)}\n`)
}
